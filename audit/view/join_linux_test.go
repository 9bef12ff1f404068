package view

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// kept is a chain's end that keeps what comes.
type kept struct {
	entries []*entry
	ended   bool
}

func (k *kept) put(e *entry) error { k.entries = append(k.entries, e); return nil }
func (k *kept) flush() error       { return nil }
func (k *kept) end() error         { k.ended = true; return nil }

// names says what came: a statement by its text, with its outcome's SQLSTATE or rows.
func (k *kept) names() []string {
	var out []string
	for _, e := range k.entries {
		s := e.Text
		switch {
		case e.Type == audit.Outcome:
			s = fmt.Sprintf("of %d", e.Statement)
		case e.outcome != nil:
			s += fmt.Sprintf("=%s%d", e.outcome.SQLSTATE, e.outcome.Sequence)
		}
		if e.folded != nil {
			s += fmt.Sprintf("×%d", e.folded.count)
		}
		out = append(out, s)
	}
	return out
}

type maker struct{ sequence uint64 }

func (m *maker) next(typ audit.Type, session string) *journal.Record {
	m.sequence++
	return &journal.Record{
		Stream: "s", Sequence: m.sequence, Session: session, Type: typ, Rows: -1, Bytes: -1,
		Time: noon.Add(time.Duration(m.sequence) * time.Second),
	}
}

func (m *maker) statement(session, text string) *journal.Record {
	r := m.next(audit.Statement, session)
	r.Text, r.Decision, r.Class = text, audit.Allowed, []string{"READ"}
	return r
}

func (m *maker) prepare(session, text string) *journal.Record {
	r := m.statement(session, text)
	r.Type = audit.Prepare
	return r
}

func (m *maker) outcome(of *journal.Record, sqlstate string) *journal.Record {
	r := m.next(audit.Outcome, of.Session)
	r.Statement, r.SQLSTATE, r.Result, r.Rows, r.Bytes = of.Sequence, sqlstate, audit.Completed, 2, 10
	if sqlstate != "" {
		r.Result = audit.Failed
	}
	return r
}

func join(t *testing.T, f Filter, records ...*journal.Record) *kept {
	t.Helper()
	m, err := f.compile()
	if err != nil {
		t.Fatal(err)
	}
	out := &kept{}
	j := newJoiner(m, out)
	for _, r := range records {
		if err := j.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.end(); err != nil || !out.ended {
		t.Fatal(err)
	}
	if len(j.open)+j.queue.len() > 0 {
		t.Errorf("%d open and %d waiting at the end", len(j.open), j.queue.len())
	}
	return out
}

func TestJoin(t *testing.T) {
	var m maker
	a := m.statement("A", "a")
	b := m.statement("B", "b")
	p := m.prepare("A", "p")
	c := m.statement("A", "c")
	ob := m.outcome(b, "42703")
	oa := m.outcome(a, "")
	oc := m.outcome(c, "42501")
	for name, test := range map[string]struct {
		filter  Filter
		records []*journal.Record
		want    []string
	}{
		"in the statements' order": {Filter{}, []*journal.Record{a, b, p, c, ob, oa, oc}, []string{"a=6", "b=427035", "p", "c=425017"}},
		"by what came of it":       {Filter{SQLSTATE: "42501"}, []*journal.Record{a, b, p, c, ob, oa, oc}, []string{"c=425017"}},
		"never answered":           {Filter{}, []*journal.Record{a, b, ob}, []string{"a", "b=427035"}},
		"of before":                {Filter{}, []*journal.Record{oa, b, ob}, []string{"of 1", "b=427035"}},
		"another stream's":         {Filter{}, []*journal.Record{a, foreign(oa)}, []string{"a", "of 1"}},
		"of nobody's interest":     {Filter{Session: "A"}, []*journal.Record{a, b, ob, oa}, []string{"a=6"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := join(t, test.filter, test.records...).names(); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func foreign(r *journal.Record) *journal.Record {
	c := *r
	c.Stream = "another"
	return &c
}

// TestJoinIsBounded: a statement that runs on holds up a bounded number of entries,
// and of bytes; its outcome is not lost.
func TestJoinIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		text   string
		behind int
	}{"entries": {"x", 3 * maxWaiting}, "bytes": {strings.Repeat("x", 1<<20), 200}} {
		for what, filter := range map[string]Filter{"all": {}, "by SQLSTATE": {SQLSTATE: "57014"}} {
			t.Run(name+" "+what, func(t *testing.T) {
				var m maker
				match, err := filter.compile()
				if err != nil {
					t.Fatal(err)
				}
				out := &kept{}
				j := newJoiner(match, out)
				slow := m.statement("A", "slow")
				add := func(r *journal.Record) {
					t.Helper()
					if err := j.add(r); err != nil {
						t.Fatal(err)
					}
					if j.queue.len() > maxWaiting+1 || j.queue.bytes > maxWaitingBytes+2<<20 {
						t.Fatalf("%d entries of %d bytes wait", j.queue.len(), j.queue.bytes)
					}
				}
				add(slow)
				for range test.behind {
					s := m.statement("B", test.text)
					add(s)
					add(m.outcome(s, ""))
				}
				add(m.outcome(slow, "57014"))
				if err := j.end(); err != nil {
					t.Fatal(err)
				}
				last := out.entries[len(out.entries)-1]
				if last.Type != audit.Outcome || last.SQLSTATE != "57014" || last.late == match.needsOutcome() {
					t.Errorf("the last is %+v", last.Record)
				}
				if want := test.behind + 2; !match.needsOutcome() && len(out.entries) != want {
					t.Errorf("%d entries, want %d", len(out.entries), want)
				}
			})
		}
	}
}

// TestPreparesDoNotWait: most never get an outcome, and hold nothing up for long.
func TestPreparesDoNotWait(t *testing.T) {
	var m maker
	out := &kept{}
	match, _ := (&Filter{}).compile()
	j := newJoiner(match, out)
	p, q := m.prepare("A", "p"), m.prepare("A", "q")
	s := m.statement("A", "s")
	failed := m.prepare("B", "failed")
	for _, r := range []*journal.Record{p, q, s, failed, m.outcome(s, ""), m.outcome(failed, "42601"), m.prepare("C", "r"), m.next(audit.SessionEnd, "C")} {
		if err := j.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.names(), []string{"p", "q", "s=5", "failed=426016", "r", ""}; !slices.Equal(got, want) {
		t.Errorf("%q before the end, want %q", got, want)
	}
	if len(j.prepares)+len(j.open) > 0 {
		t.Errorf("%d sessions with prepares, %d open", len(j.prepares), len(j.open))
	}
}

func TestFold(t *testing.T) {
	var m maker
	var records []*journal.Record
	run := func(session, text, sqlstate string) *journal.Record {
		s := m.statement(session, text)
		records = append(records, s, m.outcome(s, sqlstate))
		return s
	}
	for range 3 {
		run("A", "ping", "")
		run("B", "ping", "")
	}
	run("A", "ping", "57014")             // came to another end
	run("A", "ping2", "")                 // another text
	run("A", "ping", "").Role = "another" // another role
	run("A", "ping", "").Unknown = []journal.Field{{ID: 999}}
	run("A", "insert", "").Class = []string{"READ", "WRITE"}
	run("A", "insert", "").Class = []string{"READ", "WRITE"}
	run("A", "copy", "").Tags = []string{"bulk_export"}
	run("A", "copy", "").Tags = []string{"bulk_export"}
	denied := m.statement("A", "ping")
	denied.Decision = audit.Denied
	records = append(records, denied, m.next(audit.SessionEnd, "A"))
	run("A", "ping", "") // nobody has a session's id again; then it is another fold

	match, _ := (&Filter{}).compile()
	out := &kept{}
	j := newJoiner(match, newFolder(out))
	for _, r := range records {
		if err := j.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(j.end()); err != nil {
		t.Fatal(err)
	}
	var got []string
	total := uint64(0)
	for _, e := range out.entries {
		total += e.times()
		got = append(got, fmt.Sprintf("%s %s×%d", e.Session, e.Text, e.times()))
	}
	want := []string{
		"A ping×3", "B ping×3", "A ping×1", "A ping2×1", "A ping×1", "A ping×1", "A insert×1", "A insert×1",
		"A copy×1", "A copy×1", "A ping×1", "A ×1", "A ping×1",
	}
	if !slices.Equal(got, want) || total != 17 {
		t.Errorf("%d in all:\n%q, want\n%q", total, got, want)
	}
	first := out.entries[0].folded
	if first.rows != 6 || first.bytes != 30 || !first.last.After(out.entries[0].Time) {
		t.Errorf("%+v", first)
	}
}

// TestFoldIsBounded: a session that goes on for ever holds up a bounded number of
// lines, and no repetition is lost.
func TestFoldIsBounded(t *testing.T) {
	var m maker
	out := &kept{}
	f := newFolder(out)
	const each = 3 * maxWaiting
	for i := range each {
		for _, text := range []string{"ping", fmt.Sprint("other ", i)} {
			s := m.statement("A", text)
			if err := f.put(&entry{Record: s, outcome: m.outcome(s, ""), weight: entryOverhead}); err != nil {
				t.Fatal(err)
			}
			if f.queue.len() > maxWaiting+1 || len(f.open) > maxWaiting+1 {
				t.Fatalf("%d entries wait, %d are open", f.queue.len(), len(f.open))
			}
		}
	}
	if err := f.end(); err != nil {
		t.Fatal(err)
	}
	total, lines := uint64(0), 0
	for _, e := range out.entries {
		total += e.times()
		if e.Text == "ping" {
			lines++
		}
	}
	if total != 2*each || lines > each/maxWaiting+2 || len(f.open)+len(f.mine) > 0 {
		t.Errorf("%d in all, ping in %d lines, %d open", total, lines, len(f.open))
	}
}
