package testkit

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestOrders(t *testing.T) {
	p := SharedPostgres(t)
	const denied = "42501"
	for _, test := range []struct {
		role, sql, sqlstate string
	}{
		{"app_ro_orders", "SELECT FROM orders", ""},
		{"app_ro_orders", "DELETE FROM orders", denied},
		{"app_ro_orders", "SELECT FROM private.salaries", denied},
		{"app_ro_orders", "CREATE TABLE t ()", denied},
		{"app_rw_orders", "INSERT INTO orders (customer_id) VALUES (1)", ""},
		{"app_rw_orders", "DROP TABLE orders", denied},
		{"migrate_orders", "ALTER TABLE orders ADD COLUMN colour text", ""},
		{"analytics_ro", "SELECT FROM private.salaries", ""},
		{"analytics_ro", "UPDATE private.salaries SET amount = 0", denied},
		{"dba_admin", "CREATE ROLE somebody", ""},
		{"dba_admin", "ALTER ROLE postgres NOLOGIN", denied},
	} {
		conn, err := pgconn.Connect(t.Context(), p.DSN(test.role, OrdersRoles()[test.role], OrdersDatabase))
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), "BEGIN; "+test.sql+"; ROLLBACK").ReadAll()
		var refused *pgconn.PgError
		if errors.As(err, &refused); (err == nil) != (test.sqlstate == "") || err != nil && (refused == nil || refused.Code != test.sqlstate) {
			t.Errorf("%s: %s: %v", test.role, test.sql, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	counts, err := p.Value(t.Context(), OrdersDatabase,
		"SELECT concat_ws(' ', (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT count(*) FROM order_lines))")
	if err != nil || counts != "100 300 900" {
		t.Errorf("%q, %v", counts, err)
	}
}

func TestPostgresDemandsTLSAndPassword(t *testing.T) {
	p := SharedPostgres(t)
	role := "app_ro_orders"
	good := p.DSN(role, OrdersRoles()[role], OrdersDatabase)
	for what, dsn := range map[string]string{
		"no TLS":         strings.Replace(good, "verify-full", "disable", 1),
		"wrong password": p.DSN(role, `it's \ wrong`, OrdersDatabase),
		"superuser":      p.DSN("postgres", "", OrdersDatabase),
	} {
		conn, err := pgconn.Connect(t.Context(), dsn)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Code, "28") {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			_ = conn.Close(t.Context())
		}
	}
}

func TestPostgresFaults(t *testing.T) {
	p := NewPostgres(t, PostgresOptions{Config: []string{"application_name = 'as configured'"}})
	ctx := timeout(t, time.Minute)
	if err := p.Exec(ctx, "postgres", "CREATE TABLE kept (x int); INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	port := p.Port
	for what, again := range map[string]func() error{
		"restart":   func() error { return p.Restart(ctx) },
		"immediate": func() error { return errors.Join(p.ShutdownImmediate(), p.Start(ctx)) },
		"kill":      func() error { return errors.Join(p.Kill(), p.Start(ctx)) },
		"freeze":    func() error { return errors.Join(p.Freeze(), p.Thaw()) },
	} {
		if err := again(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if v, err := p.Value(ctx, "postgres", "SELECT current_setting('application_name') || x FROM kept"); err != nil || v != "as configured7" {
			t.Errorf("%s: %q, %v", what, v, err)
		}
	}
	if p.Port != port {
		t.Errorf("the port was %d and is %d", port, p.Port)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
}

func TestFailedStartShowsLog(t *testing.T) {
	_, err := StartPostgres(t.Context(), "", PostgresOptions{Config: []string{"no_such_setting = 1"}})
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("got %v", err)
	}
}
