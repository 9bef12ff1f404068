package hostile

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// large is how long the longest text of these tests is, and beside how long those are
// that are sent at the same time; growth is by how much the proxy's memory may grow
// while they pass.
const (
	large  = 100 << 20
	beside = 16 << 20
	growth = 64 << 20
)

// peak returns the most memory that a process had until stop is called, in bytes.
func peak(t *testing.T, pid int) (stop func() int) {
	t.Helper()
	var wg sync.WaitGroup
	end, most := make(chan struct{}), 0
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, residentMemory(t, pid))
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return func() int {
		close(end)
		wg.Wait()
		return most
	}
}

// TestLargeStatements has a site of its own: whoever reads the audit of another is
// not to read these. It is not parallel: it measures the process.
func TestLargeStatements(t *testing.T) {
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) { c.MaxMessage = "112MiB" })
	t.Run("forwarded", func(t *testing.T) { largeForwarded(t, s) })
	t.Run("denied", func(t *testing.T) { largeDenied(t, s) })
	nowhere(t, s, "tr0ub4dor")
}

// largeForwarded sends a statement of 100 MB, and others at once, through bounded
// memory.
func largeForwarded(t *testing.T, s *testkit.Site) {
	t.Helper()
	comments := strings.Repeat("/* nothing to see */", beside/20) // none too long to be looked at
	texts := []string{
		"SELECT length('" + strings.Repeat("tr0ub4dor", large/9) + "')",
		"SELECT 7 " + comments,
		"SELECT 8 " + comments,
	}
	answers := []string{"104857596", "7", "8"}
	clients := make([]*client, len(texts))
	for i := range clients {
		clients[i] = lab(t, s)
	}
	before := residentMemory(t, s.ProxyPID())
	stop := peak(t, s.ProxyPID())
	var wg sync.WaitGroup
	for i, c := range clients {
		_ = c.conn.SetDeadline(time.Now().Add(5 * time.Minute))
		wg.Go(func() { c.offer(bytes.Join([][]byte{query(texts[i]), query("SELECT 'behind'")}, nil)...) })
	}
	for i, c := range clients {
		if _, rows := c.ready(); len(rows) != 1 || rows[0] != answers[i] {
			t.Errorf("statement %d: %q", i, rows)
		}
		if _, rows := c.ready(); len(rows) != 1 || rows[0] != "behind" {
			t.Errorf("behind statement %d: %q", i, rows)
		}
	}
	wg.Wait()
	most := stop()
	t.Logf("resident memory: %d KB before, at most %d KB", before>>10, most>>10)
	if most > before+growth {
		t.Errorf("the proxy grew by %d KB", (most-before)>>10)
	}
	for i, c := range clients {
		largeOnRecord(t, c, texts[i])
	}
}

// largeOnRecord checks how the statement of a client is recorded.
func largeOnRecord(t *testing.T, c *client, text string) {
	t.Helper()
	want := strings.Replace(strings.Replace(text, "SELECT 7", "SELECT ?", 1), "SELECT 8", "SELECT ?", 1)
	if strings.HasPrefix(text, "SELECT length") {
		want = "SELECT length(?)"
	}
	r := await(t, c.site, "a large statement", func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Source.Address == c.source && r.Cause == "size"
	})
	if err := r.LoadText(0); err != nil || r.Text != want || r.Form != "masked" || r.Decision != audit.Allowed || r.TextDigest == "" {
		t.Errorf("recorded %s, %s, %d bytes, %v", r.Decision, r.Form, len(r.Text), err)
	}
	if o := c.outcome(r); o.Result != audit.Completed {
		t.Errorf("its outcome is %s", o.Result)
	}
}

// largeDenied: who may not send what nobody can read is refused in the protocol's
// way, and goes on.
func largeDenied(t *testing.T, s *testkit.Site) {
	t.Helper()
	bystand(t, s)
	text := "SELECT 1 " + strings.Repeat("/* nothing to see */", 1<<20)
	for name, send := range map[string][]byte{
		"simple":   query(text),
		"extended": append(message('P', "a\x00"+text+"\x00\x00\x00"), message('S', "")...),
	} {
		t.Run(name, func(t *testing.T) {
			c := alice(t, s)
			_ = c.conn.SetDeadline(time.Now().Add(5 * time.Minute))
			c.ask("BEGIN")
			c.write(send...)
			e := c.complaint("ERROR", "42501", "could not be read")
			if status, _ := c.ready(); status != 'E' {
				t.Errorf("the transaction's status is %c", status)
			}
			r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
			if r.Decision != audit.Denied || r.TextLength() < 20<<20 {
				t.Errorf("recorded as %s, %d bytes", r.Decision, r.TextLength())
			}
			c.ask("ROLLBACK")
			c.alive()
		})
	}
}
