package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const password = "Comes-and-G0es"

// patience is what no test has to wait for on a machine that has much else to do.
const patience = 60 * time.Second

var prepared struct {
	once sync.Once
	err  error
}

// The databases by which the site's rules are told apart, with what they say of
// changes. Each has a group of its own, and a second rule behind it for Fallback.
var databases = map[string]string{
	"strict":  "{locked_out: terminate, password_reset: terminate}",
	"lenient": "{}",
	"narrow":  "{another_grant: narrow}",
}

// site is the site that the package shares.
func site(t *testing.T) *testkit.Site {
	t.Helper()
	s := testkit.SharedSite(t)
	prepared.once.Do(func() { prepared.err = prepare(t, s) })
	if prepared.err != nil {
		t.Fatal(prepared.err)
	}
	return s
}

func prepare(t *testing.T, s *testkit.Site) error {
	t.Helper()
	ctx := t.Context()
	if err := s.Controller.CreateGroup(ctx, "Fallback"); err != nil {
		return err
	}
	for database := range databases {
		if err := s.Postgres.Exec(ctx, "postgres", "CREATE DATABASE "+database+" OWNER "+testkit.LabRole); err != nil {
			return err
		}
		if err := s.Controller.CreateGroup(ctx, group(database)); err != nil {
			return err
		}
	}
	err := s.WriteConfig(func(c *testkit.SiteConfig) {
		s.WithKerberos(c, "")
		for database, changes := range databases {
			c.ExtraRules += rule(database, group(database), testkit.LabRole, database, changes)
			c.ExtraRules += rule(database+"-fallback", "Fallback", "app_ro_orders", database, "{}")
		}
	})
	if err != nil {
		return err
	}
	return reload(t, s)
}

func group(database string) string { return "APP-" + strings.ToUpper(database) }

func rule(name, group, role, database, changes string) string {
	return fmt.Sprintf(`
  - name: %s
    groups: [%s]
    databases: [%s]
    sources: [127.0.0.0/8]
    justification: everybody on this machine
    grant: {backend: orders, role: %s, classes: [READ, WRITE, FUNCTION, DDL, MISC, MISC_SET], tags: [ddl], changes: %s}
`, name, group, database, role, changes)
}

// reload has the proxy read its configuration, and waits until it has.
func reload(t *testing.T, s *testkit.Site) error {
	t.Helper()
	return s.Reload(t.Context())
}

// hire makes an account.
func hire(t *testing.T, s *testkit.Site, account string, groups ...string) {
	t.Helper()
	must(t, s.Controller.CreateUser(t.Context(), account, password, groups...))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// session is a client at work.
type session struct {
	t    *testing.T
	site *testkit.Site
	conn *pgconn.PgConn
	from string // its address, as records have it
	busy chan error
	over chan struct{} // closed when nothing reads the connection any more
}

func enter(t *testing.T, s *testkit.Site, account, database string) *session {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), s.DSN(account, password, database))
	must(t, err)
	x := &session{t: t, site: s, conn: conn, from: conn.Conn().LocalAddr().String()}
	t.Cleanup(func() { // with the test's context done, which ends its statements
		if x.over != nil {
			<-x.over
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return x
}

func (x *session) do(sql string) {
	x.t.Helper()
	if _, err := x.conn.Exec(x.t.Context(), sql).ReadAll(); err != nil {
		x.t.Fatalf("%s: %v", sql, err)
	}
}

// begin runs a statement that takes for ever, in a transaction that has written.
func (x *session) begin(table string) *session {
	x.t.Helper()
	x.do("CREATE TABLE " + table + " (n int)")
	x.do("BEGIN; INSERT INTO " + table + " VALUES (1)")
	x.busy, x.over = make(chan error, 1), make(chan struct{})
	go func() {
		defer close(x.over)
		_, err := x.conn.Exec(x.t.Context(), "SELECT pg_sleep(600) /* "+table+" */").ReadAll()
		x.busy <- err
	}()
	x.site.Await(x.t, "the statement", func(r *journal.Record) bool { return strings.Contains(r.Text, "/* "+table+" */") })
	return x
}

// told waits until the session is ended, and returns the error and its record.
func (x *session) told() (*pgconn.PgError, journal.Record) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	var err error
	if x.busy == nil {
		// WaitForNotification reads what comes unasked.
		err = x.conn.WaitForNotification(ctx)
	} else {
		select {
		case err = <-x.busy:
		case <-ctx.Done():
			err = ctx.Err()
		}
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code == "57014" { // of the statement; what ends the session comes behind it
			err = x.conn.WaitForNotification(ctx)
		}
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "57P01" || e.Severity != "FATAL" {
		x.t.Fatalf("told %v", err)
	}
	end := x.site.Await(x.t, "the end", func(r *journal.Record) bool {
		return r.Type == audit.SessionEnd && fmt.Sprint(r.Source.Address) == x.from
	})
	all, err := x.site.Records(func(r *journal.Record) bool { return r.Type == audit.Revocation && r.Session == end.Session })
	if err != nil || len(all) != 1 || all[0].Sequence > end.Sequence {
		x.t.Fatalf("%d revocations before the end (%s), %v", len(all), end.Cause, err)
	}
	if r := all[0]; r.Duration <= 0 || !strings.Contains(e.Detail, r.Incident) {
		x.t.Errorf("recorded after %s as incident %s: %s", r.Duration, r.Incident, e.Detail)
	}
	return e, all[0]
}

// gone expects a session that ended for a cause.
func (x *session) gone(cause string) journal.Record {
	x.t.Helper()
	e, r := x.told()
	if r.Cause != cause {
		x.t.Errorf("recorded as %s: %s; told %s", r.Cause, r.Detail, e.Detail)
	}
	return r
}

// rows counts the rows of a table, past the proxy.
func rows(t *testing.T, s *testkit.Site, database, table string) string {
	t.Helper()
	n, err := s.Postgres.Value(t.Context(), database, "SELECT count(*) FROM "+table)
	must(t, err)
	return n
}
