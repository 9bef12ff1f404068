package view

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func TestOptionsThatDoNotGoTogether(t *testing.T) {
	for _, o := range []Options{
		{Limit: -1},
		{By: []string{"principal"}},
		{Count: true, By: []string{"nothing"}},
		{Count: true, By: []string{"tag", "TAG"}},
		{Count: true, Format: OCSF},
		{Reverse: true},
		{Reverse: true, Limit: MaxReverse + 1},
		{Count: true, Reverse: true, Limit: 1},
		{Follow: true, Count: true},
		{Follow: true, Fold: true},
		{Follow: true, Reverse: true, Limit: 1},
		{Fold: true, Count: true},
	} {
		if err := Query(t.Context(), &bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// reads records the same READ n times, and ends the session.
func reads(t *testing.T, j *journal.Journal, n int) {
	t.Helper()
	p := j.Prepare(session("alice", "10.20.3.4:50123", "app_ro_orders"))
	for i := range n {
		at := noon.Add(time.Duration(i) * time.Minute)
		s := record(t, j, audit.Event{Type: audit.Statement, Time: at, Prepared: p, Decision: audit.Allowed, Command: "SELECT", Class: statement.Read, Text: "SELECT 1"})
		record(t, j, audit.Event{Type: audit.Outcome, Time: at, Prepared: p, Statement: s, Result: audit.Completed, Rows: 1, Bytes: 10, Duration: time.Millisecond})
	}
	record(t, j, audit.Event{Type: audit.SessionEnd, Time: noon.Add(time.Hour), Prepared: p, Cause: "client_terminated"})
}

func TestFoldedOutputs(t *testing.T) {
	path, j := startJournal(t)
	reads(t, j, 50)
	for format, want := range map[Format]string{
		Table: "50 rows, 50.0 ms  READ   SELECT 1  ← ×50 until 12:49:00.000",
		JSONL: `"folded":{"count":50,"first":"2026-11-21T12:00:00.000000000Z","last":"2026-11-21T12:49:00.000000000Z","rows":50,"bytes":500,"duration_ns":50000000}}`,
		CSV:   "2026-11-21T12:00:00.000000000Z,2026-11-21T12:49:00.000000000Z,50,statement,",
		OCSF:  `"count":50`,
	} {
		o := Options{Path: path, Format: format, Fold: true, Filter: Filter{Type: "statement"}}
		if out := query(t, o); !strings.Contains(out, want) || strings.Count(out, "SELECT 1") != 1 {
			t.Errorf("%s: no %q in\n%s", format, want, out)
		}
	}
	if out := query(t, Options{Path: path, Filter: Filter{Type: "statement"}, Fold: true, Limit: 1}); strings.Count(out, "\n") != 2 {
		t.Errorf("one line of\n%s", out)
	}
}

func TestQueryFollows(t *testing.T) {
	for _, format := range []Format{Table, JSONL, CSV, OCSF} {
		t.Run(string(format), func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			path, j := startJournal(t)
			story(t, j)
			ctx, cancel := context.WithCancel(t.Context())
			var s screen
			done := make(chan error, 1)
			go func() {
				done <- Query(ctx, &s, Options{Path: path, Format: format, Follow: true, Filter: Filter{Type: "statement"}})
			}()
			s.waitFor(t, "DELETE FROM orders")
			p := j.Prepare(session("alice", "10.20.3.4:50123", "app_ro_orders"))
			record(t, j, audit.Event{Type: audit.Statement, Prepared: p, Decision: audit.Allowed, Command: "SELECT", Text: "SELECT new()"})
			s.waitFor(t, "SELECT new()")
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

func TestQueryStopsWhereItIsInterrupted(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Query(ctx, &bytes.Buffer{}, Options{Path: path}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := Report(ctx, &bytes.Buffer{}, ReportOptions{Path: path}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestCountNeverCountsTwice: each statement is one, however late its outcome.
func TestCountNeverCountsTwice(t *testing.T) {
	var m maker
	var b bytes.Buffer
	o := Options{Count: true, By: []string{"result"}}
	match, _ := o.Filter.compile()
	j := newJoiner(match, newCounter(&b, &o))
	slow := m.statement("A", "slow")
	records := []*journal.Record{slow}
	for range maxWaiting + 10 {
		s := m.statement("B", "x")
		records = append(records, s, m.outcome(s, ""))
	}
	records = append(records, m.outcome(slow, ""))
	for _, r := range records {
		if err := j.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.end(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "COUNT  RESULT\n10010  completed\n    1  -\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	now := p.start
	p.now = func() time.Time { return now }
	for n := range uint64(10) {
		p.see(n*4096, noon)
	}
	if b.Len() > 0 {
		t.Errorf("at once: %q", b.String())
	}
	now = now.Add(2 * time.Second)
	for n := range uint64(2) {
		p.see(40_960+n*4096, noon)
	}
	if want := "\r\x1b[K40 960 records, now at 2026-11-21 12:00:00 (20 480/s)"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	var out bytes.Buffer
	w := &progressWriter{&out, p}
	for range 2 {
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "\r\x1b[K" || out.String() != "xx" {
		t.Errorf("%q %q", b.String(), out.String())
	}
}

func TestWild(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"*", "", true},
		{"?", "", false},
		{"a*", "abc", true},
		{"*c", "abc", true},
		{"a?c", "abc", true},
		{"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false},
		{"ab", "abc", false},
		{"?", "张", true},
		{strings.Repeat("*a", 30) + "b", strings.Repeat("a", 3000), false},
	} {
		if got := wild(test.pattern, test.s); got != test.want {
			t.Errorf("%.20q in %.20q: %v", test.pattern, test.s, got)
		}
	}
}

func TestObjectPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, schema, name string
		want                  bool
	}{
		{"orders", "", "orders", true},
		{"orders", "sales", "Orders", true},
		{"sales.orders", "", "orders", true},
		{"sales.orders", "hr", "orders", false},
		{`"a.b".c`, "a.b", "c", true},
		{`"a.b"`, "", "a.b", true},
		{"*.*", "", "x", true},
		{"s*.t?p", "sales", "tmp", true},
		{`"a""b"`, "", `a"b`, true},
	} {
		p, err := parseObject(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.match(&journal.Object{Schema: test.schema, Name: test.name}); got != test.want {
			t.Errorf("%s, %s.%s: %v", test.pattern, test.schema, test.name, got)
		}
	}
	if got := splitPatterns(`a, "b,c" ,d`); len(got) != 3 || got[1] != `"b,c"` {
		t.Errorf("%q", got)
	}
}

func TestNeedle(t *testing.T) {
	for _, test := range []struct {
		needle, text string
		want         bool
	}{
		{"", "", true},
		{"x", "", false},
		{"SELECT", "a select b", true},
		{"select", "SELEC SELECt", true},
		{"1=1", "x 1=1", true},
		{"kelvin", "212 \u212aELVIN", true},
		{"m\u00dcller", "M\u00fcLLER", true},
		{"zz", "z zZ", true},
		{"abc", "ab", false},
		{"aab", "AAAB", true},
	} {
		n := newNeedle(test.needle)
		if got := n.in([]byte(test.text), nil); got != test.want {
			t.Errorf("%q in %q: %v", test.needle, test.text, got)
		}
	}
}

// TestCheckpointsAreAskedFor: what the journal writes for itself every few seconds is
// in no answer that does not ask for it.
func TestCheckpointsAreAskedFor(t *testing.T) {
	r := &journal.Record{Type: audit.Checkpoint}
	for filter, want := range map[string]bool{"": false, "checkpoint": true, "statement": false} {
		m, err := (&Filter{Type: filter}).compile()
		if err != nil {
			t.Fatal(err)
		}
		if got := m.record(r); got != want {
			t.Errorf("%q: %v", filter, got)
		}
	}
}
