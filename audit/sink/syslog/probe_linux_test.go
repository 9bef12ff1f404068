package syslog_test

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit/sink/syslog"
)

func TestProbe(t *testing.T) {
	ca := newCA(t)
	r := newRsyslog(t, ca, withTLS)
	s := syslog.New(r.options(ca))
	p, err := s.Probe(t.Context())
	if err != nil || p.Certificate == nil || p.Certificate.Subject.CommonName != "siem" {
		t.Errorf("%+v, %v", p, err)
	}
	o := r.options(newCA(t))
	if _, err := syslog.New(o).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another CA: %v", err)
	}
	r.stop()
	if _, err := s.Probe(t.Context()); err == nil {
		t.Error("a server that is gone answers")
	}
	if got := r.received(t); len(got) != 0 {
		t.Errorf("a probe delivered %q", got)
	}
}
