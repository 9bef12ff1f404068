package main

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// scripted answers as it is told to.
type scripted struct {
	audit.Recorder
	receipt audit.Receipt
	err     error
}

func (s *scripted) Record(*audit.Event) (audit.Receipt, error) { return s.receipt, s.err }

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := &scripted{receipt: audit.Receipt{Sequence: 1, Position: 100}}
		m := &meter{Recorder: journal, metrics: telemetry.New()}
		record := func() error {
			_, err := m.Record(&audit.Event{})
			return err
		}
		if err := record(); err != nil || m.refusing() {
			t.Fatalf("%v, refusing %v", err, m.refusing())
		}
		journal.receipt.Position = 150
		if err := record(); err != nil {
			t.Fatal(err)
		}
		journal.receipt.Position = 120 // one that was taken before, and told of later
		if err := record(); err != nil {
			t.Fatal(err)
		}
		if records, bytes := testutil.ToFloat64(m.metrics.JournalRecords), testutil.ToFloat64(m.metrics.JournalBytes); records != 3 || bytes != 150 {
			t.Errorf("%v records, %v bytes", records, bytes)
		}

		journal.err = fmt.Errorf("segment: %w", audit.ErrFull)
		if err := record(); err == nil || !m.refusing() {
			t.Error("a refusal is hidden")
		}
		time.Sleep(refusalFades)
		if m.refusing() {
			t.Error("a refusal counts forever")
		}
		journal.err = audit.ErrBroken
		if err := record(); err == nil || !m.refusing() {
			t.Error("a second refusal does not count")
		}
		journal.err = nil
		if err := record(); err != nil || m.refusing() {
			t.Error("a record that was taken does not end the refusal")
		}
		for _, cause := range []string{"full", "broken"} {
			if n := testutil.ToFloat64(m.metrics.JournalRefusals.WithLabelValues(cause)); n != 1 {
				t.Errorf("%v refusals because it is %s", n, cause)
			}
		}
	})
}
