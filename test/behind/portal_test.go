package behind

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

const (
	emptyPath = "SELECT pg_catalog.set_config('search_path', '', false)"
	peek      = "SELECT employee FROM salaries LIMIT 2"
)

// send sends the messages and a Sync, and returns what is answered but for what always is.
func (c *session) send(t *testing.T, messages ...pgproto3.FrontendMessage) []string {
	t.Helper()
	f := c.Frontend()
	for _, m := range append(messages, &pgproto3.Sync{}) {
		f.Send(m)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var answers []string
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			answers = append(answers, m.Code)
		case *pgproto3.DataRow:
			answers = append(answers, fmt.Sprintf("%s", m.Values))
		case *pgproto3.PortalSuspended:
			answers = append(answers, "suspended")
		case *pgproto3.ReadyForQuery:
			return answers
		default:
		}
	}
}

func (c *session) wants(t *testing.T, answers []string, want ...string) {
	t.Helper()
	if !slices.Equal(answers, want) {
		t.Errorf("the answers are %q, want %q", answers, want)
	}
}

// fetch is an Execute of the portal p that gives a row.
var fetch = &pgproto3.Execute{Portal: "p", MaxRows: 1}

// emptied has search_path be another one than the empty one that was set last.
func emptied(t *testing.T, s *testkit.Site) {
	t.Helper()
	maker := func(texts ...string) *session {
		c := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
		for _, sql := range texts {
			if err := c.run(sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		return c
	}
	c := maker(emptyPath + " ORDER BY 1, pg_catalog.set_config('search_path', 'private', false)")
	denied(t, c, peek, "private.*")

	// A portal sets it again when it goes on.
	c = maker("BEGIN")
	c.wants(t, c.send(t, &pgproto3.Parse{Query: "SELECT pg_catalog.set_config('search_path', 'private', false) FROM (VALUES (1), (2), (3)) v"},
		&pgproto3.Bind{DestinationPortal: "p"}, fetch), "[private]", "suspended")
	if err := c.run(emptyPath); err != nil {
		t.Fatal(err)
	}
	c.wants(t, c.send(t, fetch), "[private]", "suspended")
	denied(t, c, peek, "private.*")

	// The names of a portal were looked up when it was bound.
	c = maker("CREATE TEMP TABLE salaries (employee text)", emptyPath)
	c.wants(t, c.send(t, &pgproto3.Parse{Name: "s", Query: peek}))
	for _, sql := range []string{"BEGIN", "SET search_path = private, pg_temp"} {
		if err := c.run(sql); err != nil {
			t.Fatal(err)
		}
	}
	c.wants(t, c.send(t, &pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"}))
	if err := c.run(emptyPath); err != nil {
		t.Fatal(err)
	}
	c.wants(t, c.send(t, &pgproto3.Execute{Portal: "p"}), "42501")
}

// goesOn has a portal set more than search_path when it goes on, or stands.
func goesOn(t *testing.T, s *testkit.Site) {
	t.Helper()
	c := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
	if err := c.run("BEGIN"); err != nil {
		t.Fatal(err)
	}
	c.wants(t, c.send(t, &pgproto3.Parse{Query: "SELECT pg_catalog.set_config('client_encoding', x, false) FROM (VALUES ('UTF8'), ('SJIS')) v(x)"},
		&pgproto3.Bind{DestinationPortal: "p"}, fetch), "[UTF8]", "suspended")
	// In Shift JIS these are two characters of one byte, and a literal that goes on.
	c.wants(t, c.send(t, fetch, &pgproto3.Parse{Query: "SELECT 'é'"}), "[SJIS]", "suspended", "42501")

	c = connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
	if err := c.run("BEGIN"); err != nil {
		t.Fatal(err)
	}
	c.wants(t, c.send(t, &pgproto3.Parse{Query: "SELECT pg_catalog.set_config('role', 'private', false)"}, &pgproto3.Bind{DestinationPortal: "p"}, fetch),
		"[private]", "suspended")
	for _, sql := range []string{"SELECT current_user AS behind_a_row", "SELECT current_user AS behind_all"} {
		if err := c.run(sql); err != nil {
			t.Fatal(err)
		}
		r := s.Await(t, "the role", func(r *journal.Record) bool { return r.Text == sql })
		if r.CurrentRole != "private" || strings.Contains(fmt.Sprint(r.Doubt), "role") {
			t.Errorf("%s runs as %q on record, in doubt is %s", sql, r.CurrentRole, r.Doubt)
		}
		c.wants(t, c.send(t, fetch))
	}
}
