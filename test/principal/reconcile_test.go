package principal

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// reconciled: sessions of the proxy's are known as such, and one that went past it
// is found, whatever it calls itself.
func reconciled(t *testing.T, s *testkit.Site) {
	t.Helper()
	connect := func(dsn string) *pgconn.PgConn {
		conn, err := pgconn.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		return conn
	}
	connect(s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
	connect(s.DSN("alice", testkit.AlicePassword, ledger18))
	said, err := s.Run(t.Context(), "reconcile", "--config", s.ConfigFile)
	if err != nil || !strings.Contains(said, "role app_ro_orders: 1 session at the server") || !strings.Contains(said, "role "+testkit.LedgerRole+": 1 session at the server") {
		t.Fatalf("%v: %s", err, said)
	}
	past := connect(s.Postgres.DSN("app_ro_orders", testkit.OrdersRoles()["app_ro_orders"], testkit.OrdersDatabase) + " application_name='alice@corp.example.com psql'")
	said, err = s.Run(t.Context(), "reconcile", "--config", s.ConfigFile)
	var exit *exec.ExitError
	want := fmt.Sprintf("role app_ro_orders: process %d, since ", past.PID())
	if !errors.As(err, &exit) || strings.Count(said, "FAIL") != 1 || !strings.Contains(said, want) {
		t.Errorf("%v: %s", err, said)
	}
}
