package oracle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// comparison is one item with what both sides say of it.
type comparison struct {
	item   *item
	failed bool
	// What the server says: of the item's own text, and of what is hidden from the
	// proxy in functions, triggers, and SQL that is put together at run time.
	class, hiddenClass statement.Class
	tags, hiddenTags   statement.Tag
	// What the record says.
	recorded     statement.Class
	recordedTags statement.Tag
}

// run sends a corpus, and compares. Each session finds the schema as it was made.
func run(t *testing.T, s *testkit.Site, name, schema string, items []item) []comparison {
	t.Helper()
	out := make([]comparison, len(items))
	from := logSize(s)
	snd := &sender{tb: t, dsn: s.LabProxied(), name: "oracle " + name}
	for n := range items {
		if n == 0 || items[n].session != items[n-1].session {
			snd.close()
			if n == 0 || !items[n-1].open {
				fixture(t, s, schema)
			}
		}
		out[n] = comparison{item: &items[n], failed: snd.send(n, &items[n])}
	}
	if snd.conn == nil {
		snd.connect()
	}
	end := item{steps: []string{"SELECT"}}
	snd.send(len(items), &end)
	snd.close()

	pids := recorded(t, s, "oracle "+name, out)
	heard := listen(t, s, from, pids, len(items))
	var kept []string // texts that may be executed later
	for n := range out {
		own := squeezed(items[n].steps)
		if heard[n] != nil {
			out[n].hear(heard[n], append(kept, own...))
		}
		if items[n].open || n+1 < len(items) && items[n+1].session != items[n].session {
			kept = kept[:0]
		} else if namesStatements(own) {
			kept = append(kept, own...)
		}
	}
	return out
}

func squeezed(steps []string) []string {
	var out []string
	for _, step := range steps {
		out = append(out, squeeze(step))
	}
	return out
}

// namesStatements tells if one of the texts gives a name to a statement, that is
// executed later.
func namesStatements(texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		upper := strings.ToUpper(text)
		return strings.Contains(upper, "PREPARE") || strings.Contains(upper, "CURSOR")
	})
}

// shows tells if a text that the server executes is there for the proxy to see:
// what a function does that was defined is not. One with a body of SQL's own form
// (BEGIN ATOMIC, RETURN) executes an empty text.
func shows(texts []string, executed string) bool {
	if executed == "" {
		return false
	}
	return slices.ContainsFunc(texts, func(text string) bool {
		return text == executed || strings.Contains(executed, "<REDACTED>") || strings.Contains(text, executed) && !definition.MatchString(text)
	})
}

var definition = regexp.MustCompile(`(?i)^(-- .*\n|\s)*CREATE (OR REPLACE )?(FUNCTION|PROCEDURE)`)

// squeeze makes texts comparable that pgAudit and PL/pgSQL change the white space of.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// hear takes in what the server says.
func (c *comparison) hear(what *said, texts []string) {
	visible := false
	for _, l := range what.lines {
		class, tags := &c.hiddenClass, &c.hiddenTags
		if shows(texts, squeeze(l.text)) {
			class, tags = &c.class, &c.tags
			visible = visible || l.class&(statement.DDL|statement.Role) != 0
		}
		*class |= l.class
		*tags |= tagsOf(l)
	}
	for _, d := range what.drops {
		if strings.HasPrefix(d, "t,") && visible {
			c.tags |= statement.TagDestructive
		} else if strings.HasPrefix(d, "t,") {
			c.hiddenTags |= statement.TagDestructive
		}
	}
}

// tagsOf returns the tags that pgAudit's command tag is sure of.
func tagsOf(l auditLine) statement.Tag {
	var tags statement.Tag
	switch word, _, _ := strings.Cut(l.command, " "); word {
	case "DROP", "TRUNCATE":
		tags |= statement.TagDestructive
	case "DO", "CALL":
		tags |= statement.TagProcedural
	case "VACUUM", "ANALYZE", "REINDEX", "CLUSTER", "CHECKPOINT", "REFRESH":
		tags |= statement.TagMaintenance
	case "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE":
		tags |= statement.TagTransaction
	case "SET", "RESET", "DISCARD", "LISTEN", "UNLISTEN", "PREPARE", "DEALLOCATE", "DECLARE", "CLOSE":
		tags |= statement.TagSession
	}
	switch {
	case l.command == "PREPARE TRANSACTION" || l.command == "SET CONSTRAINTS" || l.command == "SET TRANSACTION":
		tags = statement.TagTransaction
	case l.class == statement.Role:
		tags |= statement.TagPrivilege
	case l.class == statement.DDL && l.command != "CLUSTER" && l.command != "REFRESH MATERIALIZED VIEW":
		tags |= statement.TagDDL
	}
	return tags
}

// recorded adds what the journal says of the sessions with a name, and returns the
// server's process ids for them.
func recorded(t *testing.T, s *testkit.Site, name string, out []comparison) map[uint64]bool {
	t.Helper()
	pids := map[uint64]bool{}
	current := map[string]int{}
	_, err := s.Records(func(r *journal.Record) bool {
		if r.ApplicationName != name {
			return false
		}
		pids[r.BackendPID] = true
		if r.Type != audit.Statement {
			return false
		}
		if n, ok := marked(fmt.Sprintf("/*traceparent='00-%s-%s-01'*/", r.TraceID, r.SpanID)); ok {
			current[r.Session] = n
			return false
		}
		if n, ok := current[r.Session]; ok && n < len(out) {
			out[n].read(r)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(pids, 0)
	return pids
}

// read takes in one record.
func (c *comparison) read(r *journal.Record) {
	for _, name := range r.Class {
		class, _ := statement.ParseClass(name)
		c.recorded |= class
	}
	for _, name := range r.Tags {
		tag, _ := statement.ParseTag(name)
		c.recordedTags |= tag
	}
}
