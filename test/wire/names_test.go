package wire

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestApplicationName shows the principal in front of the client's name where there
// is room for both, and never makes PostgreSQL cut the client's short.
func TestApplicationName(t *testing.T) {
	site := testkit.SharedSite(t)
	for _, c := range []struct{ own, want string }{
		{"", "svc-orders@corp.example.com"},
		{"worker-1", "svc-orders@corp.example.com worker-1"},
		{strings.Repeat("n", 30), "svc-orders " + strings.Repeat("n", 30)},
		{strings.Repeat("n", 60), strings.Repeat("n", 60)},
	} {
		config, err := pgconn.ParseConfig(site.LabProxied())
		if err != nil {
			t.Fatal(err)
		}
		config.RuntimeParams["application_name"] = c.own
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { t.Errorf("%q: noticed %s", c.own, n.Message) }
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ParameterStatus("application_name"); got != c.want {
			t.Errorf("%q: the session is called %q, not %q", c.own, got, c.want)
		}
		if _, err := conn.Exec(t.Context(), "SELECT set_config('application_name', current_setting('application_name') || '/s1', false)").ReadAll(); err != nil {
			t.Error(err)
		}
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
