package hostile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// Networks of loopback that the configuration treats differently. Each client of
// a test comes from an address of its own, so that what is counted and folded by
// source is counted for it alone.
const (
	balancers   = "127.7.0.0/16"
	fakeBackend = "127.9.9.9:5999"
	perSource   = 6
)

// Databases by which the shared site's rules tell grants apart.
const (
	dbAnything    = "no_such_database" // one of those that only the rule for "*" has
	dbAbsent      = "absent"           // a backend where nobody listens
	dbUntrusted   = "untrusted"        // a backend whose certificate somebody else signed
	dbWrongSecret = "wrong_secret"     // a backend that refuses the role's password
	dbStuffing    = "stuffing"         // a backend with bytes behind its 'S'
)

// limited are databases whose rule has one limit each: long enough that a log-in
// and a statement on a loaded machine do not reach it.
var limited = map[string]string{
	"lim_statement":   "statement: 400ms",
	"lim_idle":        "idle: 5s",
	"lim_transaction": "idle_in_transaction: 5s",
	"lim_session":     "session: 10s",
	"lim_connections": "connections: 2",
}

var prepared struct {
	once sync.Once
	err  error
}

// site is the site that the package shares, with rules and backends for what the
// tests do.
func site(t *testing.T) *testkit.Site {
	t.Helper()
	s := testkit.SharedSite(t)
	prepared.once.Do(func() { prepared.err = prepare(t, s) })
	if prepared.err != nil {
		t.Fatal(prepared.err)
	}
	return s
}

func prepare(t *testing.T, s *testkit.Site) error {
	t.Helper()
	for _, database := range slices.Sorted(maps.Keys(limited)) {
		if err := s.Postgres.Exec(t.Context(), "postgres", "CREATE DATABASE "+database+" OWNER "+testkit.LabRole); err != nil {
			return err
		}
	}
	var fillErr error
	if err := s.WriteConfig(func(c *testkit.SiteConfig) { fillErr = configure(c) }); err != nil || fillErr != nil {
		return errors.Join(err, fillErr)
	}
	return reload(t, s, "reload")
}

func configure(c *testkit.SiteConfig) error {
	c.PreAuth = fmt.Sprintf("{timeout: 30s, connections: 500, connections_per_source: %d}", perSource)
	c.ProxyProtocolFrom = "[" + balancers + "]"
	c.MaxMessage = "112MiB"
	c.Recheck = "1s"
	password := testkit.LabRole + ".password"
	c.ExtraBackends += backendYAML(dbAbsent, "127.9.9.9:1", c.BackendCA, password) +
		backendYAML(dbUntrusted, c.BackendAddress, "ca.crt", password) +
		backendYAML(dbWrongSecret, c.BackendAddress, c.BackendCA, "wrong.password") +
		backendYAML(dbStuffing, fakeBackend, c.BackendCA, password)
	for _, name := range []string{dbAbsent, dbUntrusted, dbWrongSecret, dbStuffing} {
		c.ExtraRules += ruleYAML(name, name, name, "")
	}
	for database, limit := range limited {
		c.ExtraRules += ruleYAML(database, database, "orders", limit)
	}
	c.ExtraRules += ruleYAML("anything", `"*"`, "orders", "")
	return os.WriteFile(filepath.Join(c.Dir, "wrong.password"), []byte("not-the-password"), 0o600)
}

func backendYAML(name, address, ca, password string) string {
	return fmt.Sprintf(`
  - name: %s
    hosts: ["%s"]
    tls: {ca: %s}
    tier: 2
    connect_timeout: 5s
    credentials: {%s: {password_file: %s}}
`, name, address, ca, testkit.LabRole, password)
}

// ruleYAML gives services everything, in one database.
func ruleYAML(name, database, backend, limits string) string {
	return fmt.Sprintf(`
  - name: %s
    groups: [%s]
    databases: [%s]
    sources: [127.0.0.0/8]
    kinds: [person, service]
    justification: everybody on this machine
    grant:
      backend: %s
      role: %s
      classes: [%s]
      tags: [%s]
      limits: {%s}
`, name, testkit.GroupServices, database, backend, testkit.LabRole,
		strings.Join(statement.ClassNames(), ", "), strings.Join(statement.TagNames(), ", "), limits)
}

// reload sends SIGHUP, waits until that has taken effect, and checks how it is on
// record.
func reload(t *testing.T, s *testkit.Site, want string) error {
	t.Helper()
	before, err := reloads(t, s)
	if err != nil {
		return err
	}
	if err := s.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	err = within(t, func() error {
		now, err := reloads(t, s)
		if err == nil && now == before {
			err = errors.New("nothing was reloaded")
		}
		return err
	})
	if err != nil {
		return err
	}
	found, err := records(s, ofType(audit.Configuration))
	if err != nil {
		return err
	}
	if last := found[len(found)-1]; last.Cause != want {
		return fmt.Errorf("the reload is recorded as %s: %s", last.Cause, last.Detail)
	}
	return nil
}

// reloads reads the counters of reloads, which the proxy counts when it is done.
func reloads(t *testing.T, s *testkit.Site) (string, error) {
	t.Helper()
	var metrics, counters strings.Builder
	err := s.Get(t.Context(), "/metrics", &metrics)
	for line := range strings.Lines(metrics.String()) {
		if strings.HasPrefix(line, "pgcustos_reloads_total") {
			counters.WriteString(line)
		}
	}
	return counters.String(), err
}

// within waits for a condition.
func within(t *testing.T, try func() error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return testkit.WaitFor(ctx, try)
}

// eventually waits for a condition, and fails the test without it.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	if err := within(t, try); err != nil {
		t.Fatal(err)
	}
}

// bystand opens a session, in the middle of a transaction, that has to be there
// still when the test is over.
func bystand(t *testing.T, s *testkit.Site) {
	t.Helper()
	watch(t, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
}

func watch(t *testing.T, dsn string) {
	t.Helper()
	const who = "SELECT pg_backend_pid() || ' in ' || now()" // now() is the transaction's start
	conn := connect(t, dsn)
	mustExec(t, conn, "BEGIN")
	was := value(t, conn, who)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		results, err := conn.Exec(ctx, who).ReadAll()
		if err != nil {
			t.Errorf("another session was disturbed: %v", err)
			return
		}
		if is := string(results[0].Rows[0][0]); is != was {
			t.Errorf("another session was %s and is %s", was, is)
		}
	})
}

// connect opens a session that is closed when the test ends. Cleanups run in the
// reverse order: those that use it come first.
func connect(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

func mustExec(t *testing.T, conn *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := run(t, conn, sql); err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
}

// run runs statements by the simple protocol, and returns the first column of
// the last result's first row.
func run(t *testing.T, conn *pgconn.PgConn, sql string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return "", err
	}
	rows := results[len(results)-1].Rows
	if len(rows) == 0 || len(rows[0]) == 0 {
		return "", nil
	}
	return string(rows[0][0]), nil
}

func value(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	v, err := run(t, conn, sql)
	if err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
	return v
}

// asSuperuser asks the cluster itself.
func asSuperuser(t *testing.T, s *testkit.Site, database, sql string) string {
	t.Helper()
	v, err := s.Postgres.Value(t.Context(), database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// refused checks that the server answered with an error of that SQLSTATE.
func refused(t *testing.T, err error, sqlstate, text string) *pgconn.PgError {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != sqlstate || !strings.Contains(e.Message, text) {
		t.Fatalf("want SQLSTATE %s and %q, got: %v", sqlstate, text, err)
	}
	return e
}

// incidentOf reads the incident's id out of an error's detail.
func incidentOf(t *testing.T, detail string) string {
	t.Helper()
	_, behind, _ := strings.Cut(detail, "Incident ")
	id, _, found := strings.Cut(behind, ".")
	if !found || len(id) != 16 {
		t.Fatalf("there is no incident's id in %q", detail)
	}
	return id
}

type matcher = func(*journal.Record) bool

func all(ms ...matcher) matcher {
	return func(r *journal.Record) bool {
		return !slices.ContainsFunc(ms, func(m matcher) bool { return !m(r) })
	}
}

func ofType(types ...audit.Type) matcher {
	return func(r *journal.Record) bool { return slices.Contains(types, r.Type) }
}

func withIncident(id string) matcher {
	return func(r *journal.Record) bool { return r.Incident == id }
}

func withCause(cause string) matcher {
	return func(r *journal.Record) bool { return r.Cause == cause }
}

func from(source string) matcher {
	return func(r *journal.Record) bool { return r.Source.Address == source }
}

func withText(text string) matcher {
	return func(r *journal.Record) bool { return r.Type == audit.Statement && r.Text == text }
}

// outcomeOf matches the outcome of a statement.
func outcomeOf(st *journal.Record) matcher {
	return func(r *journal.Record) bool {
		return r.Type == audit.Outcome && r.Statement == st.Sequence && r.Stream == st.Stream
	}
}

// sources numbers the clients' addresses, 127.5.0.1 and on.
var sources struct {
	mu   sync.Mutex
	last int
}

func nextSource() net.IP {
	sources.mu.Lock()
	defer sources.mu.Unlock()
	sources.last++
	return net.IPv4(127, 5, byte(sources.last>>8), byte(sources.last))
}

func addressOf(s *testkit.Site) string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }
