package wire

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// fateCase is a client that has what it wrote committed, or rolled back, in a way that
// is easily taken for the other.
type fateCase struct {
	name     string
	encoding string
	steps    []upToSync
	// telling is part of the text whose fate is asked for, want what it was.
	telling string
	want    audit.Fate
	// check is a query that tells whether that is the truth.
	check string
}

// upToSync is a Query, or statements of the extended protocol up to one Sync.
type upToSync []string

func (s upToSync) send(ctx context.Context, c *pgconn.PgConn) {
	if len(s) == 1 {
		_, _ = c.Exec(ctx, s[0]).ReadAll()
		return
	}
	p := c.StartPipeline(ctx)
	for _, sql := range s {
		p.SendQueryParams(sql, nil, nil, nil, nil)
	}
	_ = p.Sync()
	_ = p.Close()
}

var fateCases = []fateCase{
	{
		name: "chained", telling: "VALUES (1)", want: audit.Committed, check: "SELECT count(*) = 1 FROM fates WHERE n = 1",
		steps: []upToSync{{"BEGIN; COMMIT AND CHAIN; INSERT INTO fates VALUES (1); SAVEPOINT s; SELECT 1/0"}, {"ROLLBACK TO s; COMMIT"}},
	},
	{
		name: "committed-within", telling: "VALUES (2)", want: audit.FateLost, check: "SELECT count(*) = 1 FROM fates WHERE n = 2",
		steps: []upToSync{{"DO $$BEGIN INSERT INTO fates VALUES (2); COMMIT; PERFORM 1/0; END$$"}},
	},
	{
		name: "committed-behind", telling: "VALUES (3)", want: audit.FateLost, check: "SELECT count(*) = 1 FROM fates WHERE n = 3",
		steps: []upToSync{{"INSERT INTO fates VALUES (3)", "DO $$BEGIN COMMIT; END$$", "SELECT 1/0"}},
	},
	{
		name: "not-committed-within-a-block", telling: "VALUES (4)", want: audit.RolledBack, check: "SELECT count(*) = 0 FROM fates WHERE n = 4",
		steps: []upToSync{{"INSERT INTO fates VALUES (4); DO $$BEGIN PERFORM 1/0; END$$"}},
	},
	{
		name: "at-once", telling: "CREATE DATABASE fates", want: audit.Committed, check: "SELECT count(*) = 1 FROM pg_database WHERE datname = 'fates'",
		steps: []upToSync{{"CREATE DATABASE fates TEMPLATE template0", "SELECT 1/0"}},
	},
	{
		name: "in-part", telling: "CREATE UNIQUE INDEX", want: audit.FateLost, check: "SELECT count(*) = 1 FROM pg_class WHERE relname = 'fates_twice'",
		steps: []upToSync{{"CREATE UNIQUE INDEX CONCURRENTLY fates_twice ON fates ((1))"}},
	},
	{
		name: "unread-commit", encoding: "LATIN1", telling: "VALUES (5)", want: audit.Committed, check: "SELECT count(*) = 1 FROM fates WHERE n = 5",
		steps: []upToSync{{"BEGIN"}, {"INSERT INTO fates VALUES (5)"}, {"SAVEPOINT s"}, {"SELECT 1/0"}, {"ROLLBACK TO s"}, {"COMMIT /* \xe9 */"}},
	},
	{
		name: "unread-rollback", encoding: "LATIN1", telling: "VALUES (6)", want: audit.RolledBack, check: "SELECT count(*) = 0 FROM fates WHERE n = 6",
		steps: []upToSync{{"BEGIN"}, {"INSERT INTO fates VALUES (6)"}, {"ROLLBACK /* \xe9 */"}},
	},
	{
		name: "unread-alone", encoding: "LATIN1", telling: "VALUES (?) ", want: audit.Committed, check: "SELECT count(*) = 1 FROM fates WHERE n = 8",
		steps: []upToSync{{"INSERT INTO fates VALUES (8) /* \xe9 */"}, {"INSERT INTO fates VALUES (9)", "SELECT 1/0"}},
	},
	{
		name: "refused-within", telling: "DO $$", want: audit.RolledBack, check: "SELECT true",
		steps: []upToSync{{"DO $$BEGIN COMMIT; END$$ LANGUAGE nobodys"}},
	},
	{
		name: "unread-mistake", encoding: "LATIN1", telling: "SELECT", want: audit.RolledBack, check: "SELECT true",
		steps: []upToSync{{"SELECT SELECT /* \xe9 */"}},
	},
	{
		name: "unread-block", encoding: "LATIN1", telling: "fates VALUES", want: audit.Committed, check: "SELECT count(*) = 1 FROM fates WHERE n = 7",
		steps: []upToSync{{"BEGIN; INSERT INTO fates VALUES (7); SAVEPOINT s; SELECT 1/0 /* \xe9 */"}, {"ROLLBACK TO s; COMMIT"}},
	},
}

// TestFates holds what the record says of a transaction against what became of it.
func TestFates(t *testing.T) {
	site := testkit.SharedSite(t)
	other := second(t, site, "wire fates")
	ctx := context.WithoutCancel(t.Context())
	run := func(sql string) string {
		t.Helper()
		results, err := other.Exec(ctx, sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if len(results) == 0 || len(results[0].Rows) == 0 {
			return ""
		}
		return string(results[0].Rows[0][0])
	}
	run("DROP TABLE IF EXISTS fates; CREATE TABLE fates (n int)")
	run("INSERT INTO fates VALUES (0), (0)")
	t.Cleanup(func() { run("DROP DATABASE IF EXISTS fates"); run("DROP TABLE fates") })
	for _, c := range fateCases {
		t.Run(c.name, func(t *testing.T) {
			name := "wire fate " + c.name
			config, err := pgconn.ParseConfig(site.LabProxied())
			if err != nil {
				t.Fatal(err)
			}
			config.RuntimeParams["application_name"] = name
			if c.encoding != "" {
				config.RuntimeParams["client_encoding"] = c.encoding
			}
			conn, err := pgconn.ConnectConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.steps {
				s.send(t.Context(), conn)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if run(c.check) != "t" {
				t.Errorf("not true at the server: %s", c.check)
			}
			plays := newPlayed()
			plays.add(name, &transcript{})
			records := ended(t, site, plays)[name]
			if got, err := fateOf(records, c.telling); err != nil || got != c.want {
				t.Errorf("on record: %q, %v; want %q:\n%s", got, err, c.want, strings.Join(tell(records), "\n"))
			}
		})
	}
}

// fateOf returns the only fate that is told of the transaction of a statement.
func fateOf(records []journal.Record, telling string) (audit.Fate, error) {
	var statement, number uint64
	var fates []audit.Fate
	for i := range records {
		r := &records[i]
		switch {
		case r.Type == audit.Statement && strings.Contains(r.Text, telling):
			statement = r.Sequence
		case r.Type == audit.Outcome && r.Statement == statement:
			number = r.Transaction
		}
		if number != 0 && r.Transaction == number && r.Fate != "" {
			fates = append(fates, r.Fate)
		}
	}
	if fates = slices.Compact(fates); len(fates) != 1 {
		return "", fmt.Errorf("its fates are %q", fates)
	}
	return fates[0], nil
}
