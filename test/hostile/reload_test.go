package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// mustReload changes the configuration and has it read.
func mustReload(t *testing.T, s *testkit.Site, fill func(*testkit.SiteConfig)) {
	t.Helper()
	if err := s.WriteConfig(fill); err != nil {
		t.Fatal(err)
	}
	if err := reload(t, s, "reload"); err != nil {
		t.Fatal(err)
	}
}

// revoked reads what a session is told whose grant is gone, behind the error of
// what it was running, and returns the record of it.
func (c *client) revoked() journal.Record {
	c.t.Helper()
	for {
		e, ok := c.receive().(*pgproto3.ErrorResponse)
		if !ok || e.Severity == "ERROR" {
			continue
		}
		if e.Code != "57P01" || !strings.Contains(e.Message, "withdrawn") {
			c.t.Fatalf("%s %s", e.Code, e.Message)
		}
		incident := incidentOf(c.t, e.Detail)
		c.ended()
		r := await(c.t, c.site, "the revocation", withIncident(incident))
		if r.Type != audit.Revocation || r.Source.Address != c.source || r.Duration <= 0 {
			c.t.Errorf("recorded as %s of %s after %s", r.Type, r.Source.Address, r.Duration)
		}
		if end := c.end(); end.Cause != "revoked" {
			c.t.Errorf("its end is recorded as %s", end.Cause)
		}
		return r
	}
}

// TestReload changes the rules under live sessions.
func TestReload(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, nil)
	bystand(t, s)
	rules := ""
	if err := s.WriteConfig(func(c *testkit.SiteConfig) { rules = c.ExtraRules }); err != nil {
		t.Fatal(err)
	}

	t.Run("wrong file", func(t *testing.T) { wrongFile(t, s) })
	t.Run("narrower classes", func(t *testing.T) { narrowerClasses(t, s, rules) })
	t.Run("what streams", func(t *testing.T) { stream(t, s, rules) })
	t.Run("rule renamed", func(t *testing.T) { ruleRenamed(t, s, rules) })
	t.Run("rule removed", func(t *testing.T) { ruleRemoved(t, s, rules) })
	t.Run("rule removed while a session logs in", func(t *testing.T) { removedDuringLogin(t, s, rules) })
}

func wrongFile(t *testing.T, s *testkit.Site) {
	t.Helper()
	was, err := os.ReadFile(s.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	c := lab(t, s)
	for _, wrong := range []string{
		"", "rules: [", "nodes: x\n", string(was) + "\nunheard_of: 1\n",
		strings.Replace(string(was), "name: lab", "name: orders-readers", 1),
		strings.Replace(string(was), "127.0.0.0/8", "127.0.0.0/99", 1),
		strings.Replace(string(was), "bind.password", "no-such.password", 1),
		strings.Replace(string(was), "server.key", "ca.crt", 1),
		"\x00\xff\xfe" + string(was),
	} {
		if err := os.WriteFile(s.ConfigFile, []byte(wrong), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := reload(t, s, "reload_refused"); err != nil {
			t.Errorf("%.40q: %v", wrong, err)
		}
		c.alive()
		loginWorks(t, s)
	}
	if err := os.Remove(s.ConfigFile); err != nil {
		t.Fatal(err)
	}
	if err := reload(t, s, "reload_refused"); err != nil {
		t.Error(err)
	}
	c.alive()
	mustReload(t, s, nil)
	c.alive()
}

func narrowerClasses(t *testing.T, s *testkit.Site, rules string) {
	t.Helper()
	c := lab(t, s)
	c.ask("CREATE TABLE narrowed (n int)")
	c.ask("PREPARE add AS INSERT INTO narrowed VALUES (1)")
	c.ask("EXECUTE add")
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = strings.Replace(rules, ", WRITE", "", 1) })
	for _, sql := range []string{"INSERT INTO narrowed VALUES (2)", "EXECUTE add"} {
		c.write(query(sql)...)
		e := c.complaint("ERROR", "42501", "permission denied")
		c.ready()
		if !strings.Contains(e.Detail, "class WRITE") {
			t.Errorf("the detail is %s", e.Detail)
		}
		r := await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
		if r.Decision != audit.Denied || r.Source.Address != c.source {
			t.Errorf("recorded as %s", r.Decision)
		}
	}
	if got := c.ask("SELECT count(*) FROM narrowed"); got != "1" {
		t.Errorf("%s rows", got)
	}
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = rules })
	c.ask("EXECUTE add")
}

// stream takes from a session what it streams changes by, which nothing else would end.
func stream(t *testing.T, s *testkit.Site, rules string) {
	t.Helper()
	c := dialTLS(t, s).enter(startup("user", "svc-orders", "database", testkit.LabDatabase, "replication", "database"), testkit.OrdersPassword)
	c.ask("CREATE_REPLICATION_SLOT streamed TEMPORARY LOGICAL test_decoding")
	c.write(query("START_REPLICATION SLOT streamed LOGICAL 0/0")...)
	if m, ok := c.receive().(*pgproto3.CopyBothResponse); !ok {
		t.Fatalf("the answer is %T", m)
	}
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = strings.Replace(rules, "bulk_load", "bulk_load ", 1) })
	running(t, s, "START_REPLICATION SLOT streamed", true)
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = strings.Replace(rules, "bulk_export, ", "", 1) })
	if r := c.revoked(); r.Cause != "statement_not_allowed" || !strings.Contains(r.Detail, "START_REPLICATION LOGICAL") {
		t.Errorf("the cause is %s: %s", r.Cause, r.Detail)
	}
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = rules })
}

// ruleRenamed gives a live session another rule, whose limit counts it from then
// on.
func ruleRenamed(t *testing.T, s *testkit.Site, rules string) {
	t.Helper()
	c := lab(t, s)
	mustReload(t, s, func(c *testkit.SiteConfig) {
		c.ExtraRules = ruleYAML("one-at-a-time", testkit.LabDatabase, "orders", "connections: 1")
	})
	c.alive()
	if r := c.statement("SELECT 'alive'"); r.DecisionRule != "one-at-a-time" {
		t.Errorf("the statement is recorded under rule %s %s", r.Rule, r.DecisionRule)
	}
	second := dialTLS(t, s).answer(startup("user", "svc-orders", "database", testkit.LabDatabase), passwordMessage(testkit.OrdersPassword)...)
	second.told("53300", `too many connections for rule "one-at-a-time"`)
	c.write(message('X', "")...)
	c.end()
	eventually(t, func() error { return mayEnter(t, s, testkit.LabDatabase) })
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = rules })
}

// mayEnter logs in once more, and says why it could not.
func mayEnter(t *testing.T, s *testkit.Site, database string) error {
	t.Helper()
	c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", database), passwordMessage(testkit.OrdersPassword)...)
	defer c.vanish()
	for {
		m, err := c.front.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return &serverError{m.Code, m.Message}
		case *pgproto3.ReadyForQuery:
			return nil
		}
	}
}

func ruleRemoved(t *testing.T, s *testkit.Site, rules string) {
	t.Helper()
	idle, busy, open := lab(t, s), lab(t, s), lab(t, s)
	busy.write(query("SELECT pg_sleep(300) /* revoked */")...)
	running(t, s, "/* revoked", true)
	open.ask("CREATE TABLE revoked (n int)")
	open.ask("BEGIN")
	open.ask("INSERT INTO revoked VALUES (1)")
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = "" })
	for _, c := range []*client{idle, busy, open} {
		if r := c.revoked(); r.Cause != "no_matching_rule" {
			t.Errorf("the cause is %s: %s", r.Cause, r.Detail)
		}
	}
	running(t, s, "/* revoked", false)
	gone(t, s, open.session().BackendPID)
	if n := asSuperuser(t, s, testkit.LabDatabase, "SELECT count(*) FROM revoked"); n != "0" {
		t.Errorf("%s rows stayed", n)
	}
	c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", testkit.LabDatabase), passwordMessage(testkit.OrdersPassword)...)
	c.told("28P01", "authentication failed")
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = rules })
}

func removedDuringLogin(t *testing.T, s *testkit.Site, rules string) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Postgres.Host + ":" + fmt.Sprint(s.Postgres.Port))
	if err != nil {
		t.Fatal(err)
	}
	gate := newGate(t, net.JoinHostPort(host, port))
	mustReload(t, s, func(c *testkit.SiteConfig) {
		c.ExtraBackends = backendYAML("gated", gate.address(), c.BackendCA, testkit.LabRole+".password")
		c.ExtraRules = strings.Replace(rules, "backend: orders", "backend: gated", 1)
	})
	c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", testkit.LabDatabase), passwordMessage(testkit.OrdersPassword)...)
	select {
	case <-gate.arrived:
	case <-time.After(patience):
		t.Fatal("nobody came to the gate")
	}
	mustReload(t, s, func(c *testkit.SiteConfig) { c.ExtraRules = "" })
	close(gate.open)
	c.revoked()
}

// gate is a way to a backend that is closed at first.
type gate struct {
	listener net.Listener
	arrived  chan struct{} // closed when somebody stands before it
	open     chan struct{}
	work     sync.WaitGroup
}

func newGate(t *testing.T, backend string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, arrived: make(chan struct{}), open: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	g.work.Go(func() {
		first := sync.OnceFunc(func() { close(g.arrived) })
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			first()
			g.work.Go(func() { g.pass(ctx, conn, backend) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		g.work.Wait()
	})
	return g
}

func (g *gate) address() string { return g.listener.Addr().String() }

func (g *gate) pass(ctx context.Context, conn net.Conn, backend string) {
	defer conn.Close()
	select {
	case <-g.open:
	case <-ctx.Done():
		return
	}
	other, err := (&net.Dialer{}).DialContext(ctx, "tcp", backend)
	if err != nil {
		return
	}
	defer other.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close(); _ = other.Close() })()
	g.work.Go(func() { _, _ = io.Copy(other, conn); _ = other.(*net.TCPConn).CloseWrite() })
	_, _ = io.Copy(conn, other)
}

// stopped waits until the proxy has ended by itself.
func stopped(t *testing.T, s *testkit.Site) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", s.ProxyPID())
	eventually(t, func() error {
		if _, err := os.Stat(proc); !errors.Is(err, os.ErrNotExist) {
			return errors.New("the proxy is still there")
		}
		return nil
	})
	if err := s.StopProxy(); err != nil {
		t.Error(err)
	}
}

// TestTerminate is SIGTERM.
func TestTerminate(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, nil)
	terminated(t, s)
	if err := s.WriteConfig(func(c *testkit.SiteConfig) { c.ShutdownTimeout = "1s" }); err != nil {
		t.Fatal(err)
	}
	for _, signals := range []int{1, 2} {
		if err := s.StartProxy(t.Context()); err != nil {
			t.Fatal(err)
		}
		forced(t, s, signals)
	}
}

// terminated: who is idle is told goodbye, an open transaction may finish, nobody
// new is let in.
func terminated(t *testing.T, s *testkit.Site) {
	t.Helper()
	idle, open := lab(t, s), lab(t, s)
	open.ask("CREATE TABLE finished (n int)")
	open.ask("BEGIN")
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	idle.told("57P01", "terminating connection due to administrator command")
	if r := idle.end(); r.Cause != "shutdown" {
		t.Errorf("recorded as %s", r.Cause)
	}
	c := dial(t, s)
	c.offer(packet(codeSSL)...)
	c.complaint("FATAL", "57P03", "shutting down")
	if err := s.Get(t.Context(), "/readyz", nil); err == nil {
		t.Error("it says that it is ready")
	}
	open.ask("INSERT INTO finished VALUES (1)")
	open.ask("COMMIT")
	open.told("57P01", "terminating connection due to administrator command")
	stopped(t, s)
	open.end()
	await(t, s, "the stop", all(ofType(audit.Configuration), withCause("stop")))
	if n := asSuperuser(t, s, testkit.LabDatabase, "SELECT count(*) FROM finished"); n != "1" {
		t.Errorf("the transaction left %s rows", n)
	}
}

// forced: a transaction does not finish in time, or there is a second signal.
func forced(t *testing.T, s *testkit.Site, signals int) {
	t.Helper()
	open := lab(t, s)
	open.ask("BEGIN")
	for range signals {
		if err := s.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	open.told("57P01", "terminating connection due to administrator command")
	stopped(t, s)
	if r := open.end(); r.Cause != "shutdown_forced" {
		t.Errorf("recorded as %s", r.Cause)
	}
}
