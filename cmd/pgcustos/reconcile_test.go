package main

import (
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// TestReconcileNumberComesAgain: a session that went past the proxy is not taken for one
// of the proxy's that had the same number at the server, and had ended by then.
func TestReconcileNumberComesAgain(t *testing.T) {
	path := t.TempDir()
	now := time.Now()
	j, err := journal.Open(journal.Options{Path: path, Node: "test"})
	if err != nil {
		t.Fatal(err)
	}
	write := func(kind audit.Type, session string, pid uint32, at time.Time) {
		t.Helper()
		c := &audit.Context{Session: session, Backend: "orders", BackendPID: pid}
		if _, err := j.Record(&audit.Event{Type: kind, Context: c, Time: at, Rows: -1}); err != nil {
			t.Fatal(err)
		}
	}
	write(audit.SessionStart, "ended", 4711, now.Add(-3*time.Minute))
	write(audit.SessionEnd, "ended", 4711, now.Add(-2*time.Minute))
	write(audit.SessionStart, "lives", 4712, now.Add(-3*time.Minute))
	write(audit.SessionStart, "short", 4713, now.Add(-time.Second))
	write(audit.SessionEnd, "short", 4713, now)
	write(audit.SessionStart, "first", 4714, now.Add(-3*time.Minute))
	write(audit.SessionEnd, "first", 4714, now.Add(-2*time.Minute))
	write(audit.SessionStart, "second", 4714, now.Add(-time.Minute))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	session := func(pid int64, since time.Time) serverSession {
		return serverSession{backend: "orders", PID: pid, Since: since}
	}
	left, err := without(path, nil, []serverSession{
		session(4711, now.Add(-time.Minute)),   // past the proxy
		session(4712, now.Add(-3*time.Minute)), // the proxy's
		session(4713, now.Add(-time.Second)),   // the proxy's, and about to go
		session(4714, now.Add(-time.Minute)),   // the proxy's second one
		session(4715, now),                     // past the proxy
	})
	if err != nil || len(left) != 2 || left[0].PID != 4711 || left[1].PID != 4715 {
		t.Errorf("not the proxy's: %+v, %v", left, err)
	}
}
