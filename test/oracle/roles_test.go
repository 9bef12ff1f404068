package oracle

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// disguises change who a session is, or take that back.
var disguises = []string{
	"SET ROLE shop_clerk", "SET ROLE shop_boss", "SET LOCAL ROLE shop_clerk", "RESET ROLE", "SET ROLE NONE", "SET LOCAL ROLE none",
	"SET SESSION AUTHORIZATION shop_boss", "SET LOCAL SESSION AUTHORIZATION shop_clerk", "RESET SESSION AUTHORIZATION",
	"SET SESSION AUTHORIZATION DEFAULT", `SET "role" TO 'shop_clerk'`, "SET ROLE nobody_at_all", "RESET ALL", "DISCARD ALL",
	"SELECT set_config('role', 'shop_clerk', false)", "SELECT set_config('role', 'shop_boss', true)", "SELECT set_config('ROLE', 'none', false)",
	"BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "ROLLBACK TO b", "RELEASE a", "RELEASE b",
	"SELECT 1/0", "BEGIN; SET LOCAL ROLE shop_boss; COMMIT", "SET ROLE shop_clerk; SELECT 1/0", "SET LOCAL ROLE shop_boss; SELECT 1",
	"BEGIN; SAVEPOINT a; SET ROLE shop_clerk; ROLLBACK TO a; SET LOCAL ROLE shop_boss",
}

// Whatever a session does to be somebody else, each record says who it is: as the
// server itself says.
func testCurrentRole(t *testing.T, s *testkit.Site) {
	t.Helper()
	const sessions, steps = 12, 40
	fixture(t, s, "schema.sql")
	random := rand.New(rand.NewPCG(1, 1))
	said := map[string][]string{} // by session's name
	for n := range sessions {
		name := "oracle role " + string(rune('a'+n))
		config, err := pgconn.ParseConfig(s.LabProxied())
		if err != nil {
			t.Fatal(err)
		}
		config.RuntimeParams["application_name"] = name
		c, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		for range steps {
			sql := disguises[random.IntN(len(disguises))]
			_, _ = c.Exec(t.Context(), sql).ReadAll() // many fail, and that is followed too
			who := "?"                                // the transaction has failed
			if r, err := c.Exec(t.Context(), "SELECT current_user").ReadAll(); err == nil {
				who = string(r[0].Rows[0][0])
			}
			said[name] = append(said[name], sql+" -> "+who)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	compareRoles(t, s, said)
}

func compareRoles(t *testing.T, s *testkit.Site, said map[string][]string) {
	t.Helper()
	at, others := map[string]int{}, 0
	_, err := s.Records(func(r *journal.Record) bool {
		list := said[r.ApplicationName]
		if list == nil || r.Type != audit.Statement || r.Text != "SELECT current_user" {
			return false
		}
		n := at[r.ApplicationName]
		at[r.ApplicationName]++
		want := list[n][strings.LastIndex(list[n], " ")+1:]
		got := r.CurrentRole
		if got == "" {
			got = testkit.LabRole
		}
		if want != "?" && want != testkit.LabRole {
			others++
		}
		if want != "?" && (got != want || strings.Contains(r.Doubt, "role")) {
			t.Errorf("%s: the record says %s (doubt %q)\n\t%s", r.ApplicationName, got, r.Doubt, strings.Join(list[:n+1], "\n\t"))
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	if others < 50 {
		t.Errorf("somebody else for %d statements only", others)
	}
	for name, list := range said {
		if at[name] != len(list) {
			t.Errorf("%s: %d records of %d statements", name, at[name], len(list))
		}
	}
}

// What cannot be told yet, or no more, is marked as such.
func testDoubt(t *testing.T, s *testkit.Site) {
	t.Helper()
	fixture(t, s, "schema.sql")
	for n, c := range []struct{ before, text, role, doubt string }{
		{"", "SELECT * FROM t", "", ""},
		{"SET ROLE shop_boss; ", "SELECT 1", "shop_boss", "role"},
		{"SELECT set_config('ro' || substr('xle', 2), 'shop_boss', false); ", "SELECT 1", "", "role"},
		{"SET search_path = private; ", "SELECT * FROM salaries", "", "resolution"},
		{"SET search_path = private; ", "SELECT * FROM private.salaries", "", ""},
		{"CREATE TEMP TABLE t (a int); ", "SELECT * FROM t", "", "resolution"},
		{"SELECT 1 AS a INTO TEMP t; SET LOCAL ROLE shop_clerk; ", "TABLE t", "shop_clerk", "role,resolution"},
	} {
		name := "oracle doubt " + string(rune('a'+n))
		snd := &sender{tb: t, dsn: s.LabProxied(), name: name}
		snd.send(0, &item{steps: []string{c.before + c.text}})
		snd.close()
		r := s.Await(t, c.text, func(r *journal.Record) bool {
			return r.ApplicationName == name && r.Type == audit.Statement && r.Text == c.text
		})
		if r.CurrentRole != c.role || r.Doubt != c.doubt {
			t.Errorf("%s%s: role %q, doubt %q; want %q, %q", c.before, c.text, r.CurrentRole, r.Doubt, c.role, c.doubt)
		}
	}
}
