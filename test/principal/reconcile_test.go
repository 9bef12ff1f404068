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
	direct := s.Postgres.DSN("app_ro_orders", testkit.OrdersRoles()["app_ro_orders"], testkit.OrdersDatabase)
	past := []*pgconn.PgConn{connect(direct + " application_name='alice@corp.example.com psql'")}
	// What reads the whole cluster is a session, too.
	alter := func(attribute string) {
		if err := s.Postgres.Exec(t.Context(), "postgres", "ALTER ROLE app_ro_orders "+attribute); err != nil {
			t.Fatal(err)
		}
	}
	alter("REPLICATION")
	past = append(past, connect(direct+" replication=true"), connect(direct+" replication=database"))
	alter("NOREPLICATION")
	said, err = s.Run(t.Context(), "reconcile", "--config", s.ConfigFile)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strings.Count(said, "FAIL") != len(past) {
		t.Errorf("%v: %s", err, said)
	}
	for _, conn := range past {
		if want := fmt.Sprintf("role app_ro_orders: process %d, since ", conn.PID()); !strings.Contains(said, want) {
			t.Errorf("nothing says %s: %s", want, said)
		}
	}
}
