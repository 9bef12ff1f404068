package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/otlp"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/audit/sink/stdout"
	"github.com/pgcustos/pgcustos/audit/sink/syslog"
	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// sinkDrain is how long sinks may take at the end to deliver what is recorded;
// what they leave comes at the next start.
const sinkDrain = 5 * time.Second

// startSinks starts what carries the record out of the journal.
func (d *daemon) startSinks(c *config.Config) error {
	for i := range c.Sinks {
		s := &c.Sinks[i]
		to, err := newSink(s)
		if err != nil {
			return fmt.Errorf("sink %s: %w", s.Name, err)
		}
		records, bytes := batch(s.Kind)
		r := sink.Start(sink.Options{
			Name: s.Name, Sink: to, Journal: c.Journal.Path, Stream: d.journal.Stream(), Head: d.recorder.sequence.Load,
			Log: d.log, MaxRecords: records, MaxBytes: bytes,
			Observer: sinkCounters{
				delivered: d.metrics.SinkDelivered.WithLabelValues(s.Name), failures: d.metrics.SinkFailures.WithLabelValues(s.Name),
			},
		})
		d.sinks = append(d.sinks, r)
		d.measureLag(s.Name, r)
	}
	return nil
}

// measureLag has the metrics tell the lag of a sink's runner, of which there is another
// where a successor failed.
func (d *daemon) measureLag(name string, r *sink.Runner) {
	if at, there := d.runners[name]; there {
		at.Store(r)
		return
	}
	at := new(atomic.Pointer[sink.Runner])
	at.Store(r)
	d.runners[name] = at
	d.metrics.SinkLag(name, func() (uint64, time.Duration) { return at.Load().Lag() })
}

// batch is how much a kind of sink takes at once; 0 for what is usual. For PostgreSQL
// a batch is a transaction, and each waits for the disk.
func batch(kind string) (records, bytes int) {
	if kind == config.SinkPostgres {
		return 5000, 8 << 20
	}
	return 0, 0
}

func newSink(s *config.Sink) (sink.Sink, error) {
	switch s.Kind {
	case config.SinkPostgres:
		return postgres.New(s.Postgres), nil
	case config.SinkSyslog:
		o := s.Syslog
		if s.Format != config.FormatNative {
			o.Line = lineOf(s.Format)
		}
		return syslog.New(o), nil
	case config.SinkStdout:
		return stdout.New(os.Stdout, lineOf(s.Format)), nil
	case config.SinkOTLP:
		o := s.OTLP
		o.Version = telemetry.Version()
		if s.Format != config.FormatSemconv {
			o.Body = lineOf(s.Format)
		}
		return otlp.New(o)
	default:
		return nil, fmt.Errorf("no such kind: %q", s.Kind)
	}
}

// lineOf is how a record is told in a format.
func lineOf(format string) sink.Line {
	switch format {
	case config.FormatOCSF:
		return view.OCSFLine
	case config.FormatSemconv:
		return otlp.SemconvLine
	default:
		return sink.Native
	}
}

// stopSinks lets all sinks deliver what is left, side by side, and joins them.
func (d *daemon) stopSinks() {
	ctx, cancel := context.WithTimeout(context.Background(), sinkDrain)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range d.sinks {
		all.Go(func() { r.Stop(ctx) })
	}
	all.Wait()
	d.sinks = nil
}

// sinkCounters is a sink.Observer.
type sinkCounters struct{ delivered, failures prometheus.Counter }

// Delivered implements sink.Observer.
func (c sinkCounters) Delivered(records int) { c.delivered.Add(float64(records)) }

// Failed implements sink.Observer.
func (c sinkCounters) Failed() { c.failures.Inc() }
