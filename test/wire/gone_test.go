package wire

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// A client that goes away while more of its messages wait than the proxy takes: its
// backend goes with it, by either driver.
func TestClientGoesAwayWhileItIsHeldBack(t *testing.T) {
	site := testkit.SharedSite(t)
	prepare(t, site)
	t.Run("one driver", func(t *testing.T) { holdBack(t, site) })
	switchDriver(t, site)
	t.Cleanup(func() { switchDriver(t, site) })
	t.Run("the other", func(t *testing.T) { holdBack(t, site) })
}

func holdBack(t *testing.T, site *testkit.Site) {
	t.Helper()
	executes := bytes.Join([][]byte{
		pgwire.AppendMessage(nil, pgwire.Parse, []byte("\x00SELECT pg_sleep(600)\x00\x00\x00")),
		pgwire.AppendMessage(nil, pgwire.Bind, make([]byte, 8)),
		bytes.Repeat(pgwire.AppendMessage(nil, pgwire.Execute, make([]byte, 5)), 700),
	}, nil)
	sleep := pgwire.AppendMessage(nil, pgwire.Query, []byte("SELECT pg_sleep(600)\x00"))
	copying := pgwire.AppendMessage(nil, pgwire.Query, []byte("COPY numbers FROM STDIN\x00"))
	syncs := bytes.Repeat(pgwire.AppendMessage(nil, pgwire.Sync), 20_000)
	for name, data := range map[string][]byte{
		"executes": executes, "queries": bytes.Repeat(sleep, 700), "a few queries": bytes.Repeat(sleep, 3), "syncs in a copy": append(copying, syncs...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := second(t, site, "wire second "+name)
			hc, err := connect(t.Context(), dsn(site, "", true), "wire held back", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := hc.Conn.Write(data); err != nil {
				t.Error(err)
			}
			works := fmt.Sprintf("FROM pg_stat_activity WHERE pid = %d AND wait_event IN ('PgSleep', 'ClientRead') AND state = 'active'", hc.PID)
			holds(t, other, "SELECT count(*) = 1 "+works)
			_ = hc.Conn.Close()
			holds(t, other, fmt.Sprintf("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %d", hc.PID))
		})
	}
}

// holds waits until what the statement asks is true.
func holds(t *testing.T, c *pgconn.PgConn, sql string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	err := testkit.WaitFor(ctx, func() error {
		results, err := c.Exec(ctx, sql).ReadAll()
		if err == nil && string(results[0].Rows[0][0]) != "t" {
			err = fmt.Errorf("%s: not true", sql)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
