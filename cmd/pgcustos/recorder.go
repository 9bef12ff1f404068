package main

import (
	"errors"
	"sync/atomic"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// meter is a Recorder that counts, and that knows whether the journal took the
// last record.
type meter struct {
	audit.Recorder
	metrics  *telemetry.Metrics
	position atomic.Int64 // the furthest receipt
	refused  atomic.Bool
}

// Record implements audit.Recorder.
func (m *meter) Record(e *audit.Event) (audit.Receipt, error) {
	r, err := m.Recorder.Record(e)
	if err != nil {
		m.refused.Store(true)
		cause := "broken"
		if errors.Is(err, audit.ErrFull) {
			cause = "full"
		}
		m.metrics.JournalRefusals.WithLabelValues(cause).Inc()
		return r, err
	}
	m.metrics.JournalRecords.Inc()
	m.advance(r.Position)
	if m.refused.Load() {
		m.refused.Store(false)
	}
	return r, nil
}

func (m *meter) advance(to int64) {
	for {
		from := m.position.Load()
		if to <= from {
			return
		}
		if m.position.CompareAndSwap(from, to) {
			m.metrics.JournalBytes.Add(float64(to - from))
			return
		}
	}
}
