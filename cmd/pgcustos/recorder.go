package main

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// meter is a Recorder that counts, and that knows whether the journal took the
// last record.
type meter struct {
	audit.Recorder
	metrics  *telemetry.Metrics
	position atomic.Int64  // the furthest receipt
	sequence atomic.Uint64 // of the newest record
	refused  atomic.Int64  // Unix time in ns of the last refusal; 0 where a record was taken since
}

// Record implements audit.Recorder.
func (m *meter) Record(e *audit.Event) (audit.Receipt, error) {
	r, err := m.Recorder.Record(e)
	if err != nil {
		cause := "broken"
		switch {
		case errors.Is(err, audit.ErrBudget):
			cause = "budget" // one principal's affair: others are served
		case errors.Is(err, audit.ErrFull):
			cause = "full"
		}
		if cause != "budget" {
			m.refused.Store(time.Now().UnixNano())
		}
		m.metrics.JournalRefusals.WithLabelValues(cause).Inc()
		return r, err
	}
	m.metrics.JournalRecords.Inc()
	m.advance(r)
	if m.refused.Load() != 0 {
		m.refused.Store(0)
	}
	return r, nil
}

// refusalFades is for how long a refusal counts. Whoever asks for readiness
// before sending clients would otherwise never send the one whose record shows
// that there is room again.
const refusalFades = 15 * time.Second

// refusing reports whether the journal refused the last record, not long ago.
func (m *meter) refusing() bool {
	at := m.refused.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < refusalFades
}

func (m *meter) advance(r audit.Receipt) {
	to := r.Position
	for {
		from := m.position.Load()
		if to <= from {
			return
		}
		if m.position.CompareAndSwap(from, to) {
			m.metrics.JournalBytes.Add(float64(to - from))
			m.sequence.Store(r.Sequence) // near enough for a lag
			return
		}
	}
}
