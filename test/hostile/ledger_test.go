package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// ledger is the records of one site so far. It is read on, never again: tests ask
// it thousands of times.
type ledger struct {
	mu     sync.Mutex
	reader *journal.Reader
	seen   []journal.Record
}

var ledgers sync.Map // *testkit.Site → *ledger

func (l *ledger) readOn(s *testkit.Site) error {
	if l.reader == nil {
		r, err := journal.OpenReader(journal.ReaderOptions{Path: s.Journal})
		if err != nil {
			return err
		}
		l.reader = r
	}
	// What is written meanwhile is for the next time: there may be no end of it.
	for now := time.Now(); ; {
		r, err := l.reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l.seen = append(l.seen, *r)
		if r.Time.After(now) {
			return nil
		}
	}
}

// closeLedger lets go of the files.
func closeLedger(s *testkit.Site) {
	if v, ok := ledgers.LoadAndDelete(s); ok {
		if l := v.(*ledger); l.reader != nil {
			_ = l.reader.Close()
		}
	}
}

// records returns the records of the site that match.
func records(s *testkit.Site, match matcher) ([]journal.Record, error) {
	v, _ := ledgers.LoadOrStore(s, new(ledger))
	l := v.(*ledger)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.readOn(s); err != nil {
		return nil, err
	}
	var found []journal.Record
	for i := range l.seen {
		if match(&l.seen[i]) {
			found = append(found, l.seen[i])
		}
	}
	return found, nil
}

// await waits for a record that matches, and fails the test where none comes.
func await(t *testing.T, s *testkit.Site, what string, match matcher) journal.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found []journal.Record
	err := testkit.WaitFor(ctx, func() error {
		var err error
		if found, err = records(s, match); err == nil && len(found) == 0 {
			err = fmt.Errorf("there is no record of %s", what)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.LogTail())
	}
	return found[0]
}

// patience is how long a test waits for what has to come, on a machine that has
// much else to do.
const patience = 60 * time.Second
