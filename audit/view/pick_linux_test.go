package view

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// randomJournal records what no proxy would: outcomes of other people's statements,
// of none, twice, and all that a filter can ask for.
func randomJournal(t *testing.T, rng *rand.Rand, records int) string {
	t.Helper()
	path := t.TempDir()
	j, err := journal.Open(journal.Options{Path: path, Node: "proxy-1", SegmentSize: 128 << 10, Reserve: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{rng: rng, at: noon}
	for i := range 12 {
		g.prepared = append(g.prepared, j.Prepare(g.context(i)))
	}
	for range records {
		ev := g.event()
		r, err := j.Record(ev)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Type == audit.Outcome {
			continue
		}
		j.Release(1)
		g.waiting = append(g.waiting, r.Sequence)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// archive lets the sealed segments of a journal become containers.
func archive(t testing.TB, path string) {
	t.Helper()
	plain, err := filepath.Glob(filepath.Join(path, "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{Path: path, Node: "proxy-1", Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Minute); ; <-tick.C {
		left := 0
		for _, file := range plain {
			if _, err := os.Stat(file); err == nil {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d segments were not archived", left)
		}
	}
}

type generator struct {
	rng      *rand.Rand
	at       time.Time
	prepared []*audit.Prepared
	waiting  []uint64 // sequences of what may get an outcome
}

func anyOf[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func (g *generator) context(i int) *audit.Context {
	c := session(anyOf(g.rng, "alice", "bob", "carol", "Åse"), anyOf(g.rng, "10.20.3.4:50123", "[2001:db8::7]:1", "192.0.2.1:7"), anyOf(g.rng, "app_ro", "app_rw"))
	c.Session = fmt.Sprintf("01JD8Z3V9M4Q7T2X5B6C8D9E%02d", i)
	c.Rule, c.Database = anyOf(g.rng, "readers", "writers"), anyOf(g.rng, "orders", "hr")
	if g.rng.IntN(6) == 0 {
		c.Principal = audit.Principal{}
	}
	if g.rng.IntN(6) == 0 {
		c.ApplicationName = strings.Repeat("long", 1200) // so that outcomes have field 1 alone
	}
	return c
}

func (g *generator) event() *audit.Event {
	g.at = g.at.Add(time.Duration(g.rng.IntN(2000)-200) * time.Millisecond)
	ev := &audit.Event{
		Time: g.at, Prepared: anyOf(g.rng, g.prepared...), Incident: anyOf(g.rng, "", "", "i-7Q2M4K"),
		Type: anyOf(g.rng, audit.Statement, audit.Statement, audit.Statement, audit.Outcome, audit.Outcome, audit.Outcome, audit.Prepare,
			audit.Prepare, audit.Transaction, audit.SessionEnd, audit.Authentication, audit.Cancel),
		Decision: anyOf(g.rng, audit.Allowed, audit.Allowed, audit.Denied, audit.WouldDeny, audit.Unavailable, ""),
	}
	switch ev.Type {
	case audit.Statement, audit.Prepare:
		ev.Class = anyOf(g.rng, statement.Read, statement.Write, statement.DDL|statement.Write)
		ev.Tags = anyOf(g.rng, 0, statement.TagDestructive, statement.TagDDL|statement.TagPrivilege)
		ev.Rule = anyOf(g.rng, "", "", "nothing-dropped")
		ev.Text = anyOf(g.rng, "SELECT 1", "select * FROM Orders", "DELETE from orders WHERE name = 'Åse \u212a'", "\xff\x00 bad", "")
		if g.rng.IntN(3) == 0 {
			ev.Trace = statement.Trace{ID: [16]byte{1, byte(g.rng.IntN(3))}, Span: [8]byte{2}}
		}
		for range g.rng.IntN(3) {
			ev.Objects = append(ev.Objects, statement.Object{Schema: anyOf(g.rng, "", "Sales"), Name: anyOf(g.rng, "Orders", "tmp_1"), Kind: "table", Use: statement.UseRead})
		}
	case audit.Outcome:
		if len(g.waiting) > 0 {
			ev.Statement = g.waiting[max(0, len(g.waiting)-1-g.rng.IntN(40))]
		}
		ev.Result, ev.SQLSTATE = anyOf(g.rng, audit.Completed, audit.Failed), anyOf(g.rng, "", "", "42703", "23505")
	case audit.Authentication:
		ev.Prepared, ev.Claimed = nil, anyOf(g.rng, `CORP\alice`, "bob@corp", "")
		ev.Context = &audit.Context{Source: audit.Source{Address: netip.MustParseAddrPort("10.20.3.9:1")}}
		ev.SQLSTATE = anyOf(g.rng, "", "28000")
	case audit.SessionEnd:
		ev.Cause = "left"
	default:
	}
	return ev
}

func (g *generator) filter() Filter {
	var f Filter
	some := func() bool { return g.rng.IntN(6) == 0 }
	for _, c := range []struct {
		to *string
		of []string
	}{
		{&f.Principal, []string{"alice", "BOB", "carol@corp.example.com", "åse", "S-1-5-21-7-a", "nobody"}},
		{&f.SID, []string{"S-1-5-21-7-b", "s-1-5-21-7-a"}},
		{&f.Session, []string{"01jd8z3v9m4q7t2x5b6c8d9e03", "01JD8Z3V9M4Q7T2X5B6C8D9E07"}},
		{&f.Source, []string{"10.20.0.0/16", "2001:db8::/32,192.0.2.1", "10.20.3.9"}},
		{&f.Decision, []string{"allowed", "denied,refused", "would_deny"}},
		{&f.Type, []string{"statement", "outcome", "statement,outcome", "session.end,transaction", "checkpoint", "statement.prepare"}},
		{&f.Incident, []string{"I-7q2m4k"}},
		{&f.Role, []string{"app_ro", "app_ro,app_rw"}},
		{&f.Database, []string{"orders", "hr"}},
		{&f.Rule, []string{"readers", "nothing-dropped"}},
		{&f.Class, []string{"READ", "DDL,READ"}},
		{&f.Tag, []string{"destructive", "privilege,destructive"}},
		{&f.Object, []string{"orders", "sales.*", "*.tmp_?"}},
		{&f.Trace, []string{"01010000000000000000000000000000", "01FF0000000000000000000000000000"}},
		{&f.SQLSTATE, []string{"42", "23505", "28,42703"}},
		{&f.Contains, []string{"orders", "FROM o", "åse", "k", "bad"}},
	} {
		if some() {
			*c.to = anyOf(g.rng, c.of...)
		}
	}
	if some() {
		f.Since = noon.Add(time.Duration(g.rng.IntN(600)) * time.Second)
	}
	if some() {
		f.Until = noon.Add(time.Duration(600+g.rng.IntN(600)) * time.Second)
	}
	return f
}

// slowly answers a query by decoding everything.
func slowly(t *testing.T, o Options) string {
	t.Helper()
	var b bytes.Buffer
	m, err := o.Filter.compile()
	if err != nil {
		t.Fatal(err)
	}
	j := newJoiner(m, newChain(&b, &o))
	r, err := journal.OpenReader(journal.ReaderOptions{Path: o.Path, Since: o.Filter.Since})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = j.add(record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.end(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSelectedIsAll holds the query that decodes only what it needs against one that
// decodes everything.
func TestSelectedIsAll(t *testing.T) {
	answers := 0
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 7))
		path := randomJournal(t, rng, 2000)
		if seed%2 == 1 {
			archive(t, path)
		}
		g := &generator{rng: rng}
		for n := range 80 {
			o := Options{Path: path, Filter: g.filter(), Format: anyOf(rng, JSONL, CSV)}
			if o.Check() != nil {
				continue
			}
			var b bytes.Buffer
			if err := Query(t.Context(), &b, o); err != nil {
				t.Fatalf("seed %d, query %d, %+v: %v", seed, n, o.Filter, err)
			}
			want := slowly(t, o)
			if b.String() != want {
				t.Fatalf("seed %d, query %d: %+v: %d bytes instead of %d", seed, n, o.Filter, b.Len(), len(want))
			}
			if strings.Count(want, "\n") > 1 {
				answers++
			}
		}
	}
	if answers < 40 {
		t.Errorf("only %d queries had an answer: they test nothing", answers)
	}
}
