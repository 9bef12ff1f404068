package postgres_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	node           = "proxy-1"
	writerPassword = "writer's \"password\" \\ 1"
)

func password(s string) func() (string, error) { return func() (string, error) { return s, nil } }

var databases atomic.Int32

// database makes an empty audit database, initialised, and returns its name.
func database(tb testing.TB, p *testkit.Postgres) string {
	tb.Helper()
	name := fmt.Sprintf("audit_%d_%d", os.Getpid(), databases.Add(1))
	if err := p.Exec(tb.Context(), "postgres", "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	if _, err := postgres.Init(tb.Context(), admin(p, name), writer()); err != nil {
		tb.Fatal(err)
	}
	return name
}

// admin logs in as superuser over the Unix socket.
func admin(p *testkit.Postgres, database string) postgres.Options {
	return postgres.Options{Host: p.Dir, Port: p.Port, Database: database, User: "postgres", ConnectTimeout: 10 * time.Second}
}

func writer() postgres.Writer {
	return postgres.Writer{User: "audit_writer", Password: password(writerPassword)}
}

func options(p *testkit.Postgres, database string) postgres.Options {
	return postgres.Options{
		Host: p.Host, Port: p.Port, Database: database, User: "audit_writer", Password: password(writerPassword),
		TLS:            &tls.Config{RootCAs: p.CA.Pool(), MinVersion: tls.VersionTLS12},
		ConnectTimeout: 5 * time.Second, Node: node,
	}
}

func openJournal(tb testing.TB, path string) *journal.Journal {
	tb.Helper()
	j, err := journal.Open(journal.Options{Path: path, Node: node})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
	})
	return j
}

func record(tb testing.TB, j *journal.Journal, e *audit.Event) audit.Receipt {
	tb.Helper()
	r, err := j.Record(e)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func session() *audit.Context {
	return &audit.Context{
		Session: "01JD8Z3V9M4Q7T2X5B6C8D9E0F",
		Principal: audit.Principal{
			Account: "alice", UPN: "alice@corp.example.com", SID: "S-1-5-21-1-2-3-1104",
			GUID: "3b0c2a1e-0000-4000-8000-0123456789ab", Kind: "person",
		},
		Source: audit.Source{Address: netip.MustParseAddrPort("10.20.3.4:50123"), TLS: "TLSv1.3"},
		Method: "password", Rule: "orders-readers", Group: "APP-Orders-Readers",
		Backend: "orders", Database: "orders", Role: "app_ro_orders", BackendPID: 4711,
		ApplicationName: "psql", Reason: "CHG-7",
	}
}

func statementEvent(p *audit.Prepared, text string) *audit.Event {
	return &audit.Event{
		Type: audit.Statement, Prepared: p, Decision: audit.Allowed, Command: "SELECT", Class: statement.Read,
		Text: text, Form: statement.Verbatim, Protocol: "simple", Fingerprint: 0xfedcba9876543210,
		Objects: []statement.Object{{Schema: "public", Name: "orders", Kind: "table", Use: statement.UseRead}},
	}
}

// fill records n statements with their outcomes.
func fill(tb testing.TB, j *journal.Journal, n int) {
	tb.Helper()
	p := j.Prepare(session())
	for i := range n {
		r := record(tb, j, statementEvent(p, fmt.Sprintf("SELECT * FROM orders WHERE customer = 'ACME' AND id = %d", i)))
		record(tb, j, &audit.Event{
			Type: audit.Outcome, Prepared: p, Statement: r.Sequence, Result: audit.Completed, Command: "SELECT",
			Rows: 1, Bytes: 120, Duration: 350 * time.Microsecond,
		})
	}
}

// head returns the sequence number of the newest record.
func head(tb testing.TB, j *journal.Journal) uint64 {
	tb.Helper()
	return record(tb, j, &audit.Event{Type: audit.Configuration, Cause: "test"}).Sequence
}

func start(tb testing.TB, path string, s sink.Sink) *sink.Runner {
	tb.Helper()
	return sink.Start(sink.Options{Name: "auditdb", Sink: s, Journal: path, Log: testLog(tb)})
}

func stop(r *sink.Runner) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r.Stop(ctx)
}

// number runs a query that answers with one number.
func number(tb testing.TB, p *testkit.Postgres, database, sql string) int {
	tb.Helper()
	s, err := p.Value(tb.Context(), database, sql)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return n
}

// waitEvents waits until the table holds that many records, or more: the
// journal writes checkpoints when it likes.
func waitEvents(tb testing.TB, p *testkit.Postgres, database string, want int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		s, err := p.Value(ctx, database, "SELECT count(*) FROM pgcustos.events")
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(s); err != nil || n < want {
			return fmt.Errorf("%s of %d records", s, want)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}
