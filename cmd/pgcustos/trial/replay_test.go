package trial

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/statement"
)

var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// tape hands out records, one a second.
type tape struct{ list []*journal.Record }

func (t *tape) next() (*journal.Record, error) {
	if len(t.list) == 0 {
		return nil, io.EOF
	}
	r := t.list[0]
	t.list = t.list[1:]
	return r, nil
}

// add puts a record of alice's on the tape, as rule "old" let her.
func (t *tape) add(typ audit.Type, fill func(*journal.Record)) {
	r := &journal.Record{
		Type: typ, Stream: "n-1-0", Sequence: uint64(len(t.list) + 1), Time: began.Add(time.Duration(len(t.list)) * time.Second), Session: "s1",
		Principal: audit.Principal{Account: "alice", UPN: "alice@corp.example.com", GUID: "g-alice", SID: "S-1-5-21-1", Kind: "person"},
		Source:    journal.Source{Address: "10.1.2.3:5000"}, Method: "password", Rule: "old", Group: "Readers",
		Backend: "db", Database: "orders", Role: "app_ro", Decision: audit.Allowed,
	}
	if fill != nil {
		fill(r)
	}
	t.list = append(t.list, r)
}

// statement puts a statement on the tape: command, classes and objects.
func (t *tape) statement(command, classes string, objects ...journal.Object) {
	t.add(audit.Statement, func(r *journal.Record) {
		r.Command, r.Class, r.Objects, r.Text = command, strings.Split(classes, ","), objects, command+" …"
	})
}

func table(schema string) journal.Object {
	return journal.Object{Schema: schema, Name: "x", Kind: "table", Use: "read"}
}

func rule(change func(*rules.Rule)) *rules.Set {
	r := rules.Rule{
		Name: "new", Groups: []string{"Readers"}, Databases: []string{"orders"}, Sources: sources("10.0.0.0/8"),
		Grant: auth.Grant{Backend: "db", Role: "app_ro", Classes: statement.Read, Mode: auth.Enforce},
	}
	if change != nil {
		change(&r)
	}
	return rules.New([]rules.Rule{r})
}

func private(t *testing.T) []auth.Pattern {
	t.Helper()
	p, err := auth.NewPattern("private.*")
	if err != nil {
		t.Fatal(err)
	}
	return []auth.Pattern{p}
}

func TestReplay(t *testing.T) {
	everything := ^statement.Class(0)
	tests := []struct {
		name string
		tape func(*tape)
		rule func(*rules.Rule)
		want []string // kind count rule why command
	}{
		{"nothing otherwise", func(p *tape) { p.statement("SELECT", "READ") }, nil, nil},
		{"a class less", func(p *tape) { p.statement("INSERT", "WRITE"); p.statement("INSERT", "WRITE") }, nil, []string{"denied 2 new class WRITE INSERT"}},
		{
			"observed", func(p *tape) { p.statement("INSERT", "WRITE") }, func(r *rules.Rule) { r.Grant.Mode = auth.Observe },
			[]string{"would_deny 1 new class WRITE INSERT"},
		},
		{
			"no session, whatever was sent", func(p *tape) { p.statement("INSERT", "WRITE"); p.statement("SELECT", "READ") },
			func(r *rules.Rule) { r.Groups = []string{"Others"} },
			[]string{"no_session 1 - no_matching_rule: no rule names the account or one of its groups -"},
		},
		{
			"another role", func(p *tape) { p.statement("SELECT", "READ") }, func(r *rules.Rule) { r.Grant.Role = "app_rw" },
			[]string{"other_role 1 new role app_rw on backend db -"},
		},
		{
			"denied then, and allowed now", func(p *tape) {
				p.add(audit.Statement, func(r *journal.Record) {
					r.Command, r.Class, r.Decision, r.Missing = "INSERT", []string{"WRITE"}, audit.Denied, "class WRITE"
				})
			}, func(r *rules.Rule) { r.Grant.Classes = everything }, []string{"now_allowed 1 new class WRITE INSERT"},
		},
		{"denied then and now", func(p *tape) {
			p.add(audit.Statement, func(r *journal.Record) {
				r.Command, r.Class, r.Decision, r.Missing = "INSERT", []string{"WRITE"}, audit.Denied, "class WRITE"
			})
		}, nil, nil},
		{"the end of a transaction", func(p *tape) {
			p.add(audit.Statement, func(r *journal.Record) {
				r.Command, r.Class, r.Tags = "ROLLBACK", []string{"MISC"}, []string{"transaction"}
			})
		}, nil, nil},
		{
			"an object", func(p *tape) { p.statement("SELECT", "READ", table("private")) },
			func(r *rules.Rule) { r.Grant.DeniedObjects = private(t) },
			[]string{"denied 1 new object private.* SELECT"},
		},
		{
			"an object behind a view", func(p *tape) {
				p.add(audit.Statement, func(r *journal.Record) {
					r.Command, r.Class, r.Objects = "SELECT", []string{"READ"}, []journal.Object{table("public")}
					r.Resolved = []journal.Resolved{{Object: table("private"), Through: "view"}}
				})
			},
			func(r *rules.Rule) { r.Grant.DeniedObjects = private(t) },
			[]string{"denied 1 new object private.* SELECT"},
		},
		{
			"names in doubt behind a SET", func(p *tape) {
				p.statement("SELECT", "READ", table(""))
				p.statement("SET", "MISC_SET", journal.Object{Name: "search_path", Kind: "setting", Use: "altered"})
				p.statement("SELECT", "READ", table(""))
			},
			func(r *rules.Rule) { r.Grant.Classes, r.Grant.DeniedObjects = everything, private(t) },
			[]string{"denied 1 new object private.* SELECT"},
		},
		{
			"names in doubt from the start", func(p *tape) {
				p.add(audit.SessionStart, func(r *journal.Record) { r.Detail = "search_path=private" })
				p.statement("SELECT", "READ", table(""))
			},
			func(r *rules.Rule) { r.Grant.DeniedObjects = private(t) },
			[]string{"denied 1 new object private.* SELECT"},
		},
		{"a class of a newer program", func(p *tape) { p.statement("FROBNICATE", "NOVEL") }, nil, []string{"denied 1 new class UNKNOWN FROBNICATE"}},
		{"who never came in", func(p *tape) {
			p.add(audit.Authentication, func(r *journal.Record) { r.Rule = "" })
		}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &tape{}
			tt.tape(p)
			report, err := Replay(t.Context(), ReplayOptions{Rules: rule(tt.rule), Next: p.next})
			if err != nil {
				t.Fatal(err)
			}
			if got := found(report); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func found(r *Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %d %s %s %s", f.Kind, f.Count, dash(f.Rule), f.Why, dash(f.Command)))
	}
	return out
}

// TestReplayWithDirectory: groups are those of now, and an account that is gone
// keeps the one on record.
func TestReplayWithDirectory(t *testing.T) {
	p := &tape{}
	p.statement("SELECT", "READ")
	p.add(audit.Statement, func(r *journal.Record) {
		r.Session, r.Principal.GUID, r.Principal.Account, r.Principal.UPN = "s2", "g-bob", "bob", "bob@corp.example.com"
	})
	asked := 0
	report, err := Replay(t.Context(), ReplayOptions{Rules: rule(nil), Next: p.next, Resolve: func(_ context.Context, id auth.Identity) (auth.Identity, error) {
		asked++
		if id.GUID == "g-bob" {
			return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount}
		}
		id.Groups = []auth.Group{{Name: "Movers"}}
		return id, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"no_session 1 - no_matching_rule: no rule names the account or one of its groups -"}
	if got := found(report); !slices.Equal(got, want) || !slices.Equal(report.Gone, []string{"bob"}) || asked != 2 {
		t.Errorf("found %q, gone %q, asked %d times", got, report.Gone, asked)
	}
}

func TestReplayEnds(t *testing.T) {
	p := &tape{}
	for range 5 {
		p.statement("INSERT", "WRITE")
	}
	report, err := Replay(t.Context(), ReplayOptions{Rules: rule(nil), Next: p.next, Until: began.Add(3 * time.Second)})
	if err != nil || report.Statements != 3 || !report.Denies() {
		t.Fatalf("%+v, %v", report, err)
	}
	var b strings.Builder
	if err := report.Print(&b); err != nil || !strings.Contains(b.String(), "Statements that would be denied: 3") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

// TestPrintIsNeutral: nothing that a client said acts on a terminal.
func TestPrintIsNeutral(t *testing.T) {
	p := &tape{}
	p.add(audit.Statement, func(r *journal.Record) {
		r.Command, r.Class, r.Text = "INSERT", []string{"WRITE"}, "INSERT \x1b]0;owned\x07\n\u202e\xff"
	})
	report, err := Replay(t.Context(), ReplayOptions{Rules: rule(nil), Next: p.next})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := report.Print(&b); err != nil || strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && journal.Acts(r) }) {
		t.Errorf("%v: %q", err, b.String())
	}
}

func sources(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
