package view

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// day is a session with transactions of every fate, and a report's worth of events.
func day(t *testing.T, j *journal.Journal) {
	t.Helper()
	at := noon
	tick := func() time.Time { at = at.Add(250 * time.Millisecond); return at }
	c := session("bob", "10.20.3.9:40000", "migrate_orders")
	c.Session, c.Reason, c.BackendPID, c.Rule, c.Group = "01session", "CHG-7", 4242, "orders-migrations", "APP-Orders-Migrations"
	p := j.Prepare(c)
	orders := []statement.Object{{Schema: "public", Name: "orders", Kind: "table", Use: statement.UseAlter}}
	rec := func(ev audit.Event) uint64 {
		t.Helper()
		ev.Time, ev.Prepared = tick(), p
		return record(t, j, ev)
	}
	run := func(tx uint64, command, text string, class statement.Class, tags statement.Tag, out audit.Event) {
		t.Helper()
		ev := audit.Event{Type: audit.Statement, Decision: audit.Allowed, Command: command, Text: text, Class: class, Tags: tags}
		if strings.Contains(text, "orders") {
			ev.Objects = orders
			if class == statement.Read {
				ev.Objects = []statement.Object{{Schema: "public", Name: "orders", Kind: "table", Use: statement.UseRead}}
			}
		}
		out.Type, out.Statement, out.Tx, out.Duration = audit.Outcome, rec(ev), tx, 1500*time.Microsecond
		if out.Result == "" {
			out.Result = audit.Completed
		}
		if out.Rows == 0 {
			out.Rows = -1
		}
		rec(out)
	}
	rec(audit.Event{Type: audit.Authentication, Decision: audit.Allowed, Claimed: "bob"})
	rec(audit.Event{Type: audit.SessionStart, Decision: audit.Allowed})
	run(1, "SELECT", "SELECT * FROM orders", statement.Read, 0, audit.Event{Fate: audit.Committed, Rows: 7})
	run(2, "BEGIN", "BEGIN", statement.Misc, statement.TagTransaction, audit.Event{})
	run(2, "ALTER TABLE", "ALTER TABLE orders ADD COLUMN shipped_by text, ADD COLUMN shipped_at timestamptz DEFAULT now()", statement.DDL, statement.TagDDL, audit.Event{})
	rec(audit.Event{
		Type: audit.Statement, Decision: audit.Denied, Command: "DROP TABLE", Text: "DROP TABLE orders", Class: statement.DDL, Objects: orders,
		Tags: statement.TagDDL | statement.TagDestructive, Missing: "tag destructive", Rule: "orders-migrations", Incident: "9x3b1c",
	})
	run(2, "COMMIT", "COMMIT", statement.Misc, statement.TagTransaction, audit.Event{Fate: audit.RolledBack})
	run(3, "BEGIN", "BEGIN", statement.Misc, statement.TagTransaction, audit.Event{})
	run(3, "TRUNCATE TABLE", "TRUNCATE orders", statement.Write, statement.TagDestructive, audit.Event{})
	rec(audit.Event{Type: audit.Transaction, Tx: 3, Fate: audit.FateLost})
	rec(audit.Event{Type: audit.Prepare, Decision: audit.Allowed, Command: "GRANT", Text: "GRANT SELECT ON orders TO carol", Class: statement.Role, Tags: statement.TagPrivilege})
	run(4, "GRANT", "GRANT SELECT ON orders TO carol", statement.Role, statement.TagPrivilege, audit.Event{Result: audit.Failed, SQLSTATE: "42501", Message: "permission denied for table orders", Fate: audit.RolledBack})
	run(5, "BEGIN", "BEGIN", statement.Misc, statement.TagTransaction, audit.Event{})
	rec(audit.Event{Type: audit.Revocation, Cause: "account_disabled"})
	rec(audit.Event{Type: audit.SessionEnd, Cause: "revoked", Detail: "9 statements, 1 denied.", Duration: 6 * time.Second})
}

func TestStory(t *testing.T) {
	path, j := startJournal(t)
	day(t, j)
	story(t, j) // others' doings
	var b bytes.Buffer
	if err := Story(t.Context(), &b, StoryOptions{Path: path, Session: "01SESSION"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "story", b.String())
	b.Reset()
	if err := Story(t.Context(), &b, StoryOptions{Path: path, Session: "01session", Color: true}); err != nil || !strings.Contains(b.String(), "\x1b[1;31m") {
		t.Errorf("%v: no colour in\n%s", err, b.String())
	}
}

func TestStoryOfNobody(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	for _, id := range []string{"", "nobody", "06h00fbgwxstm3jg4bm4ywy2mr"} {
		var b bytes.Buffer
		if err := Story(t.Context(), &b, StoryOptions{Path: path, Session: id}); !errors.Is(err, ErrNoSession) || b.Len() > 0 {
			t.Errorf("%q: %v, %q", id, err, b.String())
		}
	}
}

// TestStoryUnderAnOddClock: a session whose id is of later than its records is found.
func TestStoryUnderAnOddClock(t *testing.T) {
	path, j := startJournal(t)
	c := session("alice", "10.20.3.4:50123", "app_ro_orders")
	c.Session = "7zzzzzzzzzstm3jg4bm4ywy2mr"
	record(t, j, audit.Event{Type: audit.Authorization, Time: noon, Prepared: j.Prepare(c), Decision: audit.Denied, Cause: "no_matching_rule", Incident: "i1"})
	var b bytes.Buffer
	if err := Story(t.Context(), &b, StoryOptions{Path: path, Session: c.Session}); err != nil || !strings.Contains(b.String(), "no matching rule") {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestSessionTime(t *testing.T) {
	if at, ok := sessionTime("06h00fbgwxstm3jg4bm4ywy2mr"); !ok || at.Format(time.DateTime) != "2026-11-21 22:32:36" {
		t.Errorf("%v %v", at, ok)
	}
	for _, id := range []string{"", "01session", "06h00fbgwxstm3jg4bm4ywy2m!"} {
		if _, ok := sessionTime(id); ok {
			t.Errorf("%q has a time", id)
		}
	}
}

func TestReport(t *testing.T) {
	path, j := startJournal(t)
	day(t, j)
	story(t, j)
	for format, name := range map[ReportFormat]string{Markdown: "report.md", HTML: "report.html"} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			o := ReportOptions{Path: path, Format: format, Now: noon.Add(time.Hour), Filter: Filter{Since: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}}
			if err := Report(t.Context(), &b, o); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.String())
		})
	}
}

// TestReportOfNothing: an empty period is a report too.
func TestReportOfNothing(t *testing.T) {
	path, _ := startJournal(t)
	var b bytes.Buffer
	if err := Report(t.Context(), &b, ReportOptions{Path: path, Now: noon, Filter: Filter{Until: noon.AddDate(-1, 0, 0)}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Read: no event", "No statement changed the schema", "No destructive statement ran", "No log-in failed"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
