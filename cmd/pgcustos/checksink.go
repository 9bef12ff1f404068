package main

import (
	"context"

	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/internal/config"
)

// sink tries to reach a sink, without delivering anything.
func (r *report) sink(ctx context.Context, s *config.Sink) {
	name := "sink " + s.Name + " (" + s.Kind + ")"
	to, err := newSink(s)
	if err != nil {
		r.fail("%s: %v", name, err)
		return
	}
	prober, ok := to.(sink.Prober)
	if !ok {
		return // stdout is there
	}
	p, err := prober.Probe(ctx)
	if p.Certificate != nil {
		r.validity(name+" certificate", p.Certificate)
	}
	if err != nil {
		r.fail("%s: %v", name, err)
		return
	}
	for _, fault := range p.Faults {
		r.fail("%s: %s", name, fault)
	}
	if len(p.Faults) == 0 {
		r.ok("%s: answers: %s", name, p.Says)
	}
	for _, w := range p.Warnings {
		r.warn("%s: %s", name, w)
	}
}
