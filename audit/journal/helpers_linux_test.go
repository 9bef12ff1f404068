package journal

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func open(t testing.TB, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// small are options with segments that a test can fill.
func small(t testing.TB) Options {
	t.Helper()
	return Options{Path: t.TempDir(), Node: "node-1", SegmentSize: 128 << 10, Reserve: 8 << 10}
}

func record(t testing.TB, j *Journal, ev *audit.Event) audit.Receipt {
	t.Helper()
	r, err := j.Record(ev)
	if err != nil {
		t.Fatalf("Record: %v", err)
	}
	return r
}

// readAll reads a journal to its end, checkpoints and all.
func readAll(t testing.TB, path string) []*Record {
	t.Helper()
	records, err := tryReadAll(path)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return records
}

// readEvents is readAll without what the journal writes of itself as it goes.
func readEvents(t testing.TB, path string) []*Record {
	t.Helper()
	var events []*Record
	for _, r := range readAll(t, path) {
		if r.Type != audit.Checkpoint {
			events = append(events, r)
		}
	}
	return events
}

func tryReadAll(path string) ([]*Record, error) {
	r, err := OpenReader(ReaderOptions{Path: path})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []*Record
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, record)
	}
}

func segmentPath(j *Journal, number uint64) string {
	return filepath.Join(j.id.dir, segmentName(number))
}

// checkLeaks fails the test where it leaves a goroutine behind. Call it first.
func checkLeaks(t *testing.T) {
	t.Helper()
	opt := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, opt) })
}

func testContext() *audit.Context {
	return &audit.Context{
		Session: "01JD8Z3V9M4Q7T2X5B6C8D9E0F",
		Principal: audit.Principal{
			Account: "alice", UPN: "alice@corp.example.com", SID: "S-1-5-21-1-2-3-1104",
			GUID: "3b0c2a1e-0000-4000-8000-0123456789ab", DN: "CN=Alice,CN=Users,DC=corp,DC=example,DC=com",
			Kind: "person", Owner: "bob",
		},
		Source: audit.Source{
			Address: netip.MustParseAddrPort("10.20.3.4:50123"),
			Via:     netip.MustParseAddrPort("[2001:db8::1]:443"),
			TLS:     "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256",
		},
		Method: "password", Rule: "orders-readers", Group: "APP-Orders-Readers",
		Backend: "orders", Database: "orders", Role: "app_ro_orders", BackendPID: 4711,
		ApplicationName: "psql", Reason: "CHG-7",
	}
}

func testStatement(p *audit.Prepared) *audit.Event {
	return &audit.Event{
		Type: audit.Statement, Prepared: p, Decision: audit.Allowed, Command: "SELECT",
		Class: statement.Read, Text: "SELECT * FROM orders WHERE id = 7", Tx: 3, Protocol: "simple",
		Objects:     []statement.Object{{Schema: "public", Name: "orders", Kind: "table", Use: statement.UseRead}},
		Fingerprint: 0x1234567890abcdef,
	}
}

func testOutcome(p *audit.Prepared, of uint64) *audit.Event {
	return &audit.Event{
		Type: audit.Outcome, Prepared: p, Statement: of, Result: audit.Completed, Command: "SELECT",
		Rows: 1, Bytes: 120, Duration: 350 * time.Microsecond,
	}
}

func readNames(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// waitFor waits until what it names has come about.
func waitFor(t testing.TB, what string, come func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !come(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}
