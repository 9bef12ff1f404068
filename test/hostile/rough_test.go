package hostile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// rough is a site whose parts are taken away, with a second cluster whose
// sessions must not notice.
func rough(t *testing.T, fill func(*testkit.SiteConfig)) (s *testkit.Site, second *testkit.Postgres) {
	t.Helper()
	second = testkit.NewPostgres(t, testkit.PostgresOptions{})
	for _, sql := range []string{
		"CREATE ROLE " + testkit.LabRole + " LOGIN PASSWORD 'second-2024'",
		"CREATE DATABASE second OWNER " + testkit.LabRole,
	} {
		if err := second.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	s = testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.ExtraBackends += backendYAML("second", net.JoinHostPort(second.Host, fmt.Sprint(second.Port)), second.CAFile, "second.password")
		c.ExtraRules += ruleYAML("second", "second", "second", "")
		if err := os.WriteFile(filepath.Join(c.Dir, "second.password"), []byte("second-2024"), 0o600); err != nil {
			t.Fatal(err)
		}
		if fill != nil {
			fill(c)
		}
	})
	return s, second
}

func elsewhere(t *testing.T, s *testkit.Site) {
	t.Helper()
	watch(t, s.DSN("svc-orders", testkit.OrdersPassword, "second"))
}

// loginWorks waits until there are sessions again.
func loginWorks(t *testing.T, s *testkit.Site) {
	t.Helper()
	eventually(t, func() error { return tryLogin(t, s.LabProxied()) })
}

// TestBackendDies takes the backend away. Where a backend process is killed,
// PostgreSQL itself ends every session of its cluster.
func TestBackendDies(t *testing.T) {
	t.Parallel()
	s, _ := rough(t, nil)
	elsewhere(t, s)
	t.Run("killed in mid-query", func(t *testing.T) {
		c, other := lab(t, s), alice(t, s)
		const sql = "SELECT pg_sleep(300) /* killed */"
		c.write(query(sql)...)
		running(t, s, "/* killed", true)
		st := c.statement(sql)
		if err := syscall.Kill(int(st.BackendPID), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		e := c.told("08006", "the connection to the database server was lost")
		if e.Hint == "" {
			t.Error("there is no hint")
		}
		if o := c.outcome(st); o.Result != audit.Lost {
			t.Errorf("the outcome is %s", o.Result)
		}
		if r := c.end(); r.Cause != "backend_lost" {
			t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
		}
		// The server warns the others and leaves without an error, so they get one.
		if n, ok := other.receive().(*pgproto3.NoticeResponse); !ok || n.Code != "57P02" {
			t.Errorf("the other session was not warned: %#v", n)
		}
		other.told("08006", "the connection to the database server was lost")
		loginWorks(t, s)
	})
	t.Run("shut down", func(t *testing.T) {
		idle, busy := lab(t, s), lab(t, s)
		const sql = "SELECT pg_sleep(300) /* shut down */"
		busy.write(query(sql)...)
		running(t, s, "/* shut down", true)
		if err := s.Postgres.Shutdown(); err != nil {
			t.Fatal(err)
		}
		idle.told("57P01", "terminating connection due to administrator command")
		busy.told("57P01", "terminating connection due to administrator command")
		if o := busy.outcome(busy.statement(sql)); o.Result != audit.Failed || o.SQLSTATE != "57P01" {
			t.Errorf("the outcome is %s %s", o.Result, o.SQLSTATE)
		}
		idle.end()
		c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", testkit.LabDatabase), passwordMessage(testkit.OrdersPassword)...)
		e := c.told("08006", "the database server cannot be reached")
		await(t, s, "the refusal", withIncident(incidentOf(t, e.Detail)))
		if err := s.Postgres.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		loginWorks(t, s)
	})
	t.Run("gone without a word", func(t *testing.T) {
		c := lab(t, s)
		if err := s.Postgres.Kill(); err != nil {
			t.Fatal(err)
		}
		// The backend may notice that its postmaster is gone before it is killed too.
		want := map[string]string{"08006": "backend_lost", "57P01": "backend_closed"}
		e := c.complaint("FATAL", "", "")
		c.ended()
		if r := c.end(); r.Cause == "" || r.Cause != want[e.Code] {
			t.Errorf("%s %s, recorded as %s", e.Code, e.Message, r.Cause)
		}
		if err := s.Postgres.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		loginWorks(t, s)
	})
	t.Run("frozen", func(t *testing.T) {
		if err := s.Postgres.Freeze(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Postgres.Thaw() }()
		c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", testkit.LabDatabase), passwordMessage(testkit.OrdersPassword)...)
		e := c.told("08006", "the database server cannot be reached")
		await(t, s, "the refusal", withIncident(incidentOf(t, e.Detail)))
	})
}

func tryLogin(t *testing.T, dsn string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// TestPreAuth is strangers who take their time, and too many of them.
func TestPreAuth(t *testing.T) {
	t.Parallel()
	const places = 10
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.PreAuth = fmt.Sprintf("{timeout: 2s, connections: %d, connections_per_source: %d}", places, places)
	})
	bystand(t, s)
	cases := []struct {
		name  string
		do    func(c *client)
		cause string
	}{
		{"nothing", func(*client) {}, "timeout"},
		{"one byte", func(c *client) { c.write(0) }, "timeout"},
		{"SSLRequest, and nothing", func(c *client) { c.write(packet(codeSSL)...); c.byteFromProxy('S') }, "timeout"},
		{"half a ClientHello", func(c *client) { c.write(0x16, 3, 1, 2, 0, 1) }, "timeout"},
		{"TLS, and nothing", func(c *client) { c.startTLS() }, "timeout"},
		{"half a StartupMessage", func(c *client) { c.startTLS().write(startup(reader...)[:15]...) }, "timeout"},
		{"a byte now and then", func(c *client) { dribble(c, packet(protocol30, make([]byte, 9000)...)) }, "timeout"},
		{"no password", func(c *client) { c.startTLS().write(startup(reader...)...); c.askedForPassword() }, "no_password_given"},
		{"half a password", func(c *client) {
			c.startTLS().write(startup(reader...)...)
			c.askedForPassword()
			c.write(frame('p', 20, "half")...)
		}, "no_password_given"},
	}
	clients := make([]*client, len(cases))
	for i, c := range cases { // all of them at once
		clients[i] = dial(t, s)
		c.do(clients[i])
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x := clients[i]
			x.t = t
			x.silent()
			if took := time.Since(x.began); took < 1500*time.Millisecond || took > patience/4 {
				t.Errorf("it was ended after %s", took)
			}
			if r := await(t, s, c.name, from(x.source)); r.Type != audit.Connection || r.Cause != c.cause {
				t.Errorf("recorded as %s %s: %s", r.Type, r.Cause, r.Detail)
			}
		})
	}
	t.Run("all places", func(t *testing.T) { allPlaces(t, s, places) })
}

// allPlaces takes all places before authentication that are for strangers. Nobody makes
// room for a tenth of the time that a log-in may take, which is long enough here.
func allPlaces(t *testing.T, s *testkit.Site, places int) {
	t.Helper()
	err := s.WriteConfig(func(c *testkit.SiteConfig) {
		c.PreAuth = fmt.Sprintf("{timeout: 100s, connections: %d, connections_per_source: %[1]d}", places)
	})
	if err := errors.Join(err, reload(t, s, "reload")); err != nil {
		t.Fatal(err)
	}
	const regulars = 10 // the part of the places that are for those who have logged in lately
	for range places - places/regulars {
		c := dial(t, s)
		c.write(packet(codeSSL)...)
		c.byteFromProxy('S')
	}
	c := dial(t, s)
	c.offer(packet(codeSSL)...)
	c.complaint("FATAL", "53300", "too many clients already")
	if r := await(t, s, "it", from(c.source)); r.Type != audit.Connection || r.Cause != "limit" {
		t.Errorf("recorded as %s %s", r.Type, r.Cause)
	}
	loginWorks(t, s) // who came before makes room by then
}

// dribble sends a byte now and then until the other side has had enough.
func dribble(c *client, b []byte) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range b {
		<-tick.C
		if _, err := c.conn.Write(b[i : i+1]); err != nil {
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				c.t.Error(err)
			}
			return
		}
	}
}
