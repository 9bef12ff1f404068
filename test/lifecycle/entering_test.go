package lifecycle

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestKillReachesWhoComesIn: whoever had proved who they are when an operator ended their
// sessions, and waits for the server, gets none.
func TestKillReachesWhoComesIn(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, nil)
	hire(t, s, "anna", testkit.GroupReaders)
	hire(t, s, "otto", testkit.GroupReaders)
	// A server process reads this table before it lets anybody in.
	holder, err := pgconn.Connect(t.Context(), s.Postgres.SocketDSN("postgres"))
	must(t, err)
	defer holder.Close(t.Context()) //nolint:errcheck // at the end of the test
	ask := func(sql string) string {
		t.Helper()
		all, err := holder.Exec(t.Context(), sql).ReadAll()
		must(t, err)
		if rows := all[len(all)-1].Rows; len(rows) > 0 {
			return string(rows[0][0])
		}
		return ""
	}
	ask("BEGIN; LOCK TABLE pg_catalog.pg_db_role_setting")
	type entry struct {
		conn *pgconn.PgConn
		err  error
	}
	comes := func(account string) chan entry {
		c := make(chan entry, 1)
		go func() {
			conn, err := pgconn.Connect(t.Context(), s.DSN(account, password, testkit.OrdersDatabase))
			c <- entry{conn, err}
		}()
		return c
	}
	anna, otto := comes("anna"), comes("otto")
	for end := time.Now().Add(patience); ask("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pg_catalog.pg_db_role_setting'::regclass") != "2"; {
		if time.Now().After(end) {
			t.Fatal("nobody waits for the server")
		}
	}
	mustOperate(t, s, "", "kill", "--user", "anna", "--reason", "runs wild")
	ask("COMMIT")
	if e := <-anna; e.err == nil {
		_, err := e.conn.Exec(t.Context(), "SELECT 1").ReadAll()
		if err == nil {
			t.Error("a session that was killed while it came in works")
		}
		_ = e.conn.Close(t.Context())
	}
	s.Await(t, "the revocation", func(r *journal.Record) bool {
		return r.Type == audit.Revocation && r.Cause == "killed" && r.Principal.Account == "anna"
	})
	e := <-otto
	must(t, e.err)
	if _, err := e.conn.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
		t.Errorf("otto, who was not named: %v", err)
	}
	_ = e.conn.Close(t.Context())
	// Whoever proves it afterwards comes in: a kill is no lock.
	enter(t, s, "anna", testkit.OrdersDatabase).do("SELECT 1")
}
