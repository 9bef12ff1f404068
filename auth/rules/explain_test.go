package rules

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func TestExplanationText(t *testing.T) {
	migrations := with(func(r *Rule) {
		r.Name, r.Groups, r.Grant.Role = "orders-migrations", []string{"APP-Orders-Migrations"}, "migrate_orders"
		r.Sources, r.Reason = networks("10.20.0.0/16"), regexp.MustCompile(`^CHG-[0-9]+$`)
	})
	chosen := rule("orders-readers", "app_ro_orders")
	object, err := auth.NewPattern("private.*")
	if err != nil {
		t.Fatal(err)
	}
	chosen.Grant.Classes |= statement.Misc
	chosen.Grant.DeniedObjects = []auth.Pattern{object}
	chosen.Grant.Limits = auth.Limits{Statement: 30 * time.Second, Connections: 5}
	set := New([]Rule{migrations, chosen, rule("late", "app_rw_orders")})

	want := `account    alice (person)
upn        alice@corp.example.com
domain     corp.example.com
dn         CN=Alice,DC=corp,DC=example,DC=com
sid        S-1-5-21-1-2-3-1104
guid       01020304-0506-0708-090a-0b0c0d0e0f10
state      in good order
group      Staff  S-1-5-21-1-2-3-1106
group      APP-Orders-Readers  S-1-5-21-1-2-3-1105
group      S-1-5-32-545
database   orders
source     10.1.2.3
method     password
rule       orders-migrations: no
             groups and accounts: not in APP-Orders-Migrations
             sources: source 10.1.2.3 is not in 10.20.0.0/16
             reason: a reason must be given (options=-c pgcustos.reason=…) and none was
rule       orders-readers: chosen, through APP-Orders-Readers
             path: alice > Staff (S-1-5-21-1-2-3-1106) > APP-Orders-Readers (S-1-5-21-1-2-3-1105)
rule       late: would match through APP-Orders-Readers, but an earlier rule was chosen
             path: alice > Staff (S-1-5-21-1-2-3-1106) > APP-Orders-Readers (S-1-5-21-1-2-3-1105)
rule       orders-readers
backend    db
role       app_ro_orders
classes    READ,MISC
tags       (none)
denies     private.*
limits     statement 30s, connections 5
mode       enforce
durability disk
changes    another grant terminate, locked out terminate, password reset keep, directory silent for ever
records    text full, parameters none, copy none
`
	e := set.Explain(alice(), request())
	e.Groups = throughStaff{}
	if got := e.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestExplanationOfADenial(t *testing.T) {
	set := New([]Rule{rule("r", "app_ro_orders")})
	req := request()
	req.Database, req.Role = "hr", "dba_admin"
	e := set.Explain(alice(), req)
	if e.Grant != nil || len(e.Rules[0].Failed) != 2 {
		t.Errorf("explained as %+v", e)
	}
	if !strings.HasSuffix(e.String(), "denied     no rule matches\n") {
		t.Errorf("got:\n%s", e)
	}
}

// TestExplanationActsOnNoTerminal: names come from the directory and the
// client, and what a terminal would act on is quoted (invariant 11).
func TestExplanationOfACard(t *testing.T) {
	id, req := alice(), request()
	id.CardNeeded = true
	for method, barred := range map[auth.Method]auth.Cause{auth.Password: auth.CauseRestricted, auth.Kerberos: auth.CauseNone, auth.Certificate: auth.CauseNone} {
		req.Method = method
		if e := New([]Rule{rule("r", "app_ro_orders")}).Explain(id, req); e.Barred != barred || (e.Grant == nil) != (barred != auth.CauseNone) {
			t.Errorf("%s: %s", method, e)
		}
	}
}

func TestExplanationActsOnNoTerminal(t *testing.T) {
	id, req := alice(), request()
	id.Account, id.DN = "al\x1b[2Jice", "CN=\u202eevil"
	id.Groups[1].Name = "APP\x07"
	req.Reason, req.Role = "x\ny", "r\x1b]0;"
	set := New([]Rule{with(func(r *Rule) { r.Groups = []string{readers.SID} })})
	for _, r := range []auth.Request{req, {Database: req.Database, Source: req.Source}} {
		for _, c := range set.Explain(id, r).String() {
			if c != '\n' && (c < ' ' || c == '\u202e') {
				t.Fatalf("a control character %q stands in:\n%q", c, set.Explain(id, r))
			}
		}
	}
}

// throughStaff is a way into every group.
type throughStaff struct{}

func (throughStaff) Path(sid string) []auth.Group {
	return []auth.Group{staff, {SID: sid, Name: readers.Name}}
}

// TestExplainWay: where nobody knows the way, the group is told, and what the
// directory calls it does not act in a terminal.
func TestExplainWay(t *testing.T) {
	id := alice()
	id.Groups = []auth.Group{{SID: readers.SID, Name: "a\x1b[2J"}}
	e := New([]Rule{with(func(r *Rule) { r.Groups = []string{readers.SID} })}).Explain(id, request())
	if got := e.String(); !strings.Contains(got, `path: alice > … > "a\x1b[2J" (S-1-5-21-1-2-3-1105)`) {
		t.Errorf("got:\n%s", got)
	}
}
