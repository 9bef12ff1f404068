package view

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
)

// screen is what a follower has written so far.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// waitFor waits until the screen shows a text.
func (s *screen) waitFor(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !strings.Contains(s.String(), text) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%q does not come; there is\n%s", text, s)
		}
	}
}

func TestTailShowsTheLast(t *testing.T) {
	path, j := startJournal(t)
	for i := range 25 {
		record(t, j, audit.Event{Type: audit.Cancel, Detail: fmt.Sprintf("number %d", i)})
	}
	for lines, want := range map[int][]string{0: {"number 15", "number 24"}, 3: {"number 22", "number 24"}, 100: {"number 0", "number 24"}} {
		var b bytes.Buffer
		if err := Tail(t.Context(), &b, TailOptions{Options: Options{Path: path, Format: JSONL, Filter: Filter{Type: "cancel"}}, Lines: lines}); err != nil {
			t.Fatal(err)
		}
		all := decode(t, b.String())
		if first := strings.SplitN(b.String(), "\n", 2)[0]; !strings.Contains(first, want[0]) || all[len(all)-1]["detail"] != want[1] {
			t.Errorf("%d: %s", lines, b.String())
		}
	}
}

func TestTailFollows(t *testing.T) {
	for _, format := range []Format{Table, JSONL} {
		t.Run(string(format), func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			path, j := startJournal(t)
			ctx, cancel := context.WithCancel(t.Context())
			var s screen
			done := make(chan error, 1)
			go func() {
				done <- Tail(ctx, &s, TailOptions{Options: Options{Path: path, Format: format, Follow: true}, Lines: -1})
			}()
			// The follower may start late: what it has not shown is said again.
			tick := time.NewTicker(20 * time.Millisecond)
			for !strings.Contains(s.String(), "hello") {
				record(t, j, audit.Event{Type: audit.Cancel, Detail: "hello"})
				<-tick.C
			}
			tick.Stop()
			alice := j.Prepare(session("alice", "10.20.3.4:50123", "app_ro_orders"))
			q := record(t, j, audit.Event{Type: audit.Statement, Prepared: alice, Decision: audit.Allowed, Command: "SELECT", Text: "SELECT slow()"})
			s.waitFor(t, "SELECT slow()") // also while nothing came of it
			record(t, j, audit.Event{Type: audit.Outcome, Prepared: alice, Statement: q, Result: audit.Failed, SQLSTATE: "57014"})
			s.waitFor(t, "57014")
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
