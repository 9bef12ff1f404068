package hostile

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func service(t *testing.T, s *testkit.Site, database string) *client {
	t.Helper()
	return dialTLS(t, s).enter(startup("user", "svc-orders", "database", database), testkit.OrdersPassword)
}

// TestStatementLimit runs longer than the rule lets it, whatever the client sets.
func TestStatementLimit(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := service(t, s, "lim_statement")
	c.ask("SET statement_timeout = 0")
	for _, sql := range []string{
		"SELECT pg_sleep(300)",
		"SELECT repeat('x', 20000), pg_sleep(0.02) FROM generate_series(1, 10000)", // rows come all the time
		"DO $$ BEGIN PERFORM pg_sleep(300); END $$",
	} {
		c.write(query(sql)...)
		c.complaint("ERROR", "57014", "canceling statement")
		c.ready()
		st := c.statement(sql)
		if o := c.outcome(st); o.Result != audit.Failed || o.SQLSTATE != "57014" {
			t.Errorf("%s: the outcome is %s %s", sql, o.Result, o.SQLSTATE)
		}
		await(t, s, "the cancel", func(r *journal.Record) bool {
			return r.Type == audit.Cancel && r.Session == st.Session && r.Sequence > st.Sequence && r.Cause == "statement_limit"
		})
	}
	c.write(message('P', "\x00SELECT pg_sleep(300)\x00\x00\x00")...)
	c.write(message('B', "\x00\x00\x00\x00\x00\x00\x00\x00")...)
	c.write(message('E', "\x00\x00\x00\x00\x00")...)
	c.write(message('S', "")...)
	c.complaint("ERROR", "57014", "canceling statement")
	c.ready()
	c.alive()
}

// TestEndingLimits end the session, each with PostgreSQL's SQLSTATE.
func TestEndingLimits(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, l := range []struct{ database, before, sqlstate, cause string }{
		{"lim_idle", "SET idle_session_timeout = 0", "57P05", "idle_limit"},
		{"lim_transaction", "SET idle_in_transaction_session_timeout = 0; BEGIN", "25P03", "idle_in_transaction_limit"},
		{"lim_session", "SELECT 1", "57P01", "session_limit"},
	} {
		t.Run(l.database, func(t *testing.T) {
			t.Parallel()
			c := service(t, s, l.database)
			c.ask(l.before)
			c.told(l.sqlstate, "terminating connection")
			r := c.end()
			if r.Cause != l.cause {
				t.Errorf("recorded as %s", r.Cause)
			}
			gone(t, s, r.BackendPID)
		})
	}
	t.Run("session, in mid-statement", func(t *testing.T) {
		t.Parallel()
		c := service(t, s, "lim_session")
		c.write(query("SELECT pg_sleep(300)")...)
		for {
			// The cancelled statement's own error may come first.
			if e, ok := c.receive().(*pgproto3.ErrorResponse); ok && e.Severity == "FATAL" {
				if e.Code != "57P01" {
					t.Errorf("%s %s", e.Code, e.Message)
				}
				break
			}
		}
		c.ended()
		r := c.end()
		gone(t, s, r.BackendPID)
		if r.Cause != "session_limit" {
			t.Errorf("recorded as %s", r.Cause)
		}
		c.outcome(c.statement("SELECT pg_sleep(300)"))
	})
	t.Run("no limit is reached by working", func(t *testing.T) {
		t.Parallel()
		c := service(t, s, "lim_idle")
		c.ask("SELECT pg_sleep(6)")
		c.alive()
	})
}

// TestConnectionLimit is one principal's under one rule.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	first, second := service(t, s, "lim_connections"), service(t, s, "lim_connections")
	c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", "lim_connections"), passwordMessage(testkit.OrdersPassword)...)
	e := c.told("53300", `too many connections for rule "lim_connections"`)
	r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
	if r.Type != audit.Authorization || r.Cause != "connection_limit" || r.Principal.Account != "svc-orders" {
		t.Errorf("recorded as %s %s of %s", r.Type, r.Cause, r.Principal.Account)
	}
	lab(t, s).alive() // another rule is not concerned
	first.alive()
	first.write(message('X', "")...)
	first.end()
	eventually(t, func() error { return mayEnter(t, s, "lim_connections") })
	second.alive()
}

type serverError struct{ code, message string }

func (e *serverError) Error() string { return e.code + " " + e.message }
