package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// instruments are the metrics of the hot path with their labels resolved.
type instruments struct {
	*telemetry.Metrics
	decisions           map[audit.Decision]prometheus.Counter
	outcomes            map[audit.Result]prometheus.Observer
	toBackend, toClient prometheus.Counter
}

func newInstruments(m *telemetry.Metrics) *instruments {
	i := &instruments{
		Metrics:   m,
		decisions: make(map[audit.Decision]prometheus.Counter),
		outcomes:  make(map[audit.Result]prometheus.Observer),
		toBackend: m.RelayedBytes.WithLabelValues("to_backend"),
		toClient:  m.RelayedBytes.WithLabelValues("to_client"),
	}
	for _, d := range []audit.Decision{audit.Allowed, audit.Denied, audit.WouldDeny, audit.Unavailable} {
		i.decisions[d] = m.Statements.WithLabelValues(string(d))
	}
	for _, r := range []audit.Result{audit.Completed, audit.Failed, audit.Skipped, audit.Suspended, audit.Lost} {
		i.outcomes[r] = m.OutcomeSeconds.WithLabelValues(string(r))
	}
	return i
}

func (i *instruments) decided(d audit.Decision, rule string) {
	i.decisions[d].Inc()
	if d == audit.Denied {
		i.Denials.WithLabelValues(rule).Inc()
	}
}

func (i *instruments) ended(r audit.Result, took time.Duration) {
	i.outcomes[r].Observe(took.Seconds())
}
