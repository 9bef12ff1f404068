package journal

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// TestSixteenWriters writes from many sessions through many segments, some of
// them waiting for the disk, while a reader follows.
func TestSixteenWriters(t *testing.T) {
	checkLeaks(t)
	const writers, each = 16, 300
	o := small(t)
	j := open(t, o)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			p := j.Prepare(&audit.Context{Session: fmt.Sprintf("session-%d", w)})
			for n := range each {
				r, err := j.Record(&audit.Event{
					Type: audit.Statement, Prepared: p, Decision: audit.Allowed, Tx: uint64(n + 1),
					Text: strings.Repeat(fmt.Sprint(w), n),
				})
				if err == nil && n%16 == w {
					err = j.Wait(t.Context(), r)
				}
				if err == nil {
					_, err = j.Record(&audit.Event{Type: audit.Outcome, Prepared: p, Statement: r.Sequence, Tx: uint64(n + 1)})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	total := followUntil(t, o.Path, 1+2*writers*each)
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, o.Path)
	if events := readEvents(t, o.Path); len(events) != total {
		t.Fatalf("%d events, %d were followed", len(events), total)
	}
	last := map[string]uint64{}
	for i, r := range all {
		if r.Sequence != uint64(i+1) {
			t.Fatalf("record %d has sequence %d", i, r.Sequence)
		}
		if r.Type == audit.Statement {
			if r.Transaction != last[r.Session]+1 || len(r.Text) < int(r.Transaction)-1 {
				t.Fatalf("%s: transaction %d after %d", r.Session, r.Transaction, last[r.Session])
			}
			last[r.Session] = r.Transaction
		}
	}
}

// followUntil reads a journal that is being written, up to its n-th event.
func followUntil(t *testing.T, path string, n int) int {
	t.Helper()
	r, err := OpenReader(ReaderOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sequence := uint64(0)
	for got := 0; got < n; {
		record, err := r.Next()
		if err == nil {
			if sequence++; record.Sequence != sequence {
				t.Fatalf("followed %d, got %d", sequence, record.Sequence)
			}
			if record.Type != audit.Checkpoint {
				got++
			}
		} else if err.Error() != "EOF" {
			t.Fatal(err)
		}
		if t.Failed() {
			break
		}
	}
	return n
}

// Streams of several processes come out in the order of time.
func TestTwoStreamsAtOnce(t *testing.T) {
	checkLeaks(t)
	o := small(t)
	a := open(t, o)
	o.Node = "node/2"
	b := open(t, o)
	if !strings.HasPrefix(b.Stream(), "node_2-") {
		t.Error(b.Stream())
	}
	for i := range 50 {
		record(t, []*Journal{a, b}[i%2], &audit.Event{Type: audit.Cancel, Detail: fmt.Sprint(i)})
	}
	next := 0
	for _, r := range readAll(t, o.Path) {
		if r.Type != audit.Cancel {
			continue
		}
		if r.Detail != fmt.Sprint(next) || r.Node != []string{"node-1", "node/2"}[next%2] {
			t.Fatalf("%s of %s, want %d", r.Detail, r.Node, next)
		}
		next++
	}
	if next != 50 {
		t.Errorf("%d records", next)
	}
}
