package auditors

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// patience bounds every wait; nothing takes as long unless it is broken.
const patience = 2 * time.Minute

// newSite starts a site with an audit database.
func newSite(t *testing.T) *testkit.Site {
	t.Helper()
	s, err := testkit.StartSite(t.Context(), "", testkit.SiteOptions{Audit: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask runs one statement and returns its rows, the columns joined by "|", or the
// SQLSTATE of the error.
func ask(t *testing.T, dsn, sql string) (rows []string, code string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		var refused *pgconn.PgError
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
		return nil, refused.Code
	}
	defer conn.Close(ctx) //nolint:errcheck // it was asked, and has answered
	results, err := conn.Exec(ctx, sql).ReadAll()
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return nil, refused.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range results[len(results)-1].Rows {
		var columns []string
		for _, c := range row {
			columns = append(columns, string(c))
		}
		rows = append(rows, strings.Join(columns, "|"))
	}
	return rows, ""
}

func delivered(t *testing.T, s *testkit.Site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.AwaitDelivery(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestAuditDatabase shows that the record is one more database behind the proxy:
// auditors read it there, it is read-only to them twice over, nobody else gets
// in, and what they asked is on record with the rest.
func TestAuditDatabase(t *testing.T) {
	s := newSite(t)
	alice := s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase)
	if _, code := ask(t, alice, "DELETE FROM orders"); code != "42501" {
		t.Fatalf("the DELETE of a reader: %q", code)
	}
	if _, code := ask(t, s.DSN("alice", "not her password", testkit.OrdersDatabase), "SELECT 1"); code != "28P01" {
		t.Fatalf("a wrong password: %q", code)
	}
	bob := s.DSN("bob", testkit.BobPassword, testkit.OrdersDatabase) + " options='-c pgcustos.role=migrate_orders -c pgcustos.reason=CHG-7'"
	if _, code := ask(t, bob, "ALTER TABLE orders ADD COLUMN shipped_by text"); code != "" {
		t.Fatalf("a migration: %q", code)
	}
	delivered(t, s)

	vera := s.DSN("vera", testkit.VeraPassword, testkit.AuditDatabase)
	for _, test := range []struct{ sql, want string }{
		{"SELECT account, role, missing, text FROM pgcustos.denied WHERE type = 'statement'", "alice|app_ro_orders|class WRITE|DELETE FROM orders"},
		{"SELECT account, cause FROM pgcustos.logins WHERE decision = 'denied'", "alice|wrong_password"},
		{"SELECT account, decision, result IS NULL FROM pgcustos.destructive", "alice|denied|t"},
		{"SELECT account, reason, result, text FROM pgcustos.schema_changes", "bob|CHG-7|completed|ALTER TABLE orders ADD COLUMN shipped_by text"},
	} {
		rows, code := ask(t, vera, test.sql)
		if code != "" || len(rows) != 1 || rows[0] != test.want {
			t.Errorf("%s:\n%q, %q", test.sql, rows, code)
		}
	}
	for _, sql := range []string{
		"DELETE FROM pgcustos.events", "TRUNCATE pgcustos.events", "UPDATE pgcustos.positions SET sequence = 0",
		"INSERT INTO pgcustos.events DEFAULT VALUES", "DROP VIEW pgcustos.denied",
	} {
		if _, code := ask(t, vera, sql); code != "42501" {
			t.Errorf("through the proxy: %s: %q", sql, code)
		}
		if _, code := ask(t, s.AuditDirect(), sql); code != "42501" {
			t.Errorf("past the proxy: %s: %q", sql, code)
		}
	}
	if _, code := ask(t, s.DSN("alice", testkit.AlicePassword, testkit.AuditDatabase), "SELECT 1"); code != "28P01" {
		t.Errorf("a reader of orders gets into the audit database: %q", code)
	}
	if _, code := ask(t, s.DSN("vera", testkit.VeraPassword, testkit.OrdersDatabase), "SELECT 1"); code != "28P01" {
		t.Errorf("an auditor gets into the orders database: %q", code)
	}
	asked := s.Await(t, "what the auditor asked", func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Principal.Account == "vera" && strings.Contains(r.Text, "pgcustos.destructive")
	})
	if asked.Decision != audit.Allowed || asked.Role != "audit_reader" || asked.Backend != "auditdb" {
		t.Errorf("%+v", asked)
	}
	delivered(t, s)
	rows, _ := ask(t, vera, "SELECT DISTINCT account FROM pgcustos.statements WHERE text LIKE '%pgcustos.destructive%' AND text NOT LIKE '%DISTINCT%'")
	if len(rows) != 1 || rows[0] != "vera" {
		t.Errorf("of the auditor's own question, the audit database holds %q", rows)
	}
}
