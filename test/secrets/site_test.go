package secrets

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// patience bounds every wait; nothing takes as long unless it is broken.
const patience = 3 * time.Minute

// marker begins the names of the databases, and of a sink: what every output may
// show, and has to.
const marker = "seen_"

// modes are how much of a text a rule records, a database each.
var modes = []string{"full", "masked", "none"}

func database(mode string) string { return marker + mode }

// place is the site, and what its proxy sends its record to.
type place struct {
	*testkit.Site
	logs   *logCollector
	spans  *spanCollector
	syslog map[string]*received // by format
}

// rule gives everything in the database of a mode.
func rule(mode string) string {
	record := "{parameters: full, copy: digest}"
	if mode != "full" {
		record = "{statement_text: " + mode + ", parameters: digest, copy: digest}"
	}
	return fmt.Sprintf(`
  - name: %s
    groups: [%s]
    databases: [%s]
    sources: [127.0.0.0/8]
    kinds: [service]
    justification: everybody on this machine
    grant:
      backend: orders
      role: %s
      classes: [%s]
      tags: [%s]
      record: %s
`, mode, testkit.GroupServices, database(mode), testkit.LabRole,
		strings.Join(statement.ClassNames(), ", "), strings.Join(statement.TagNames(), ", "), record)
}

func newPlace(t *testing.T) *place {
	t.Helper()
	allowCores(t)
	p := &place{syslog: map[string]*received{}}
	var endpoint string
	p.logs, p.spans, endpoint = collect(t)
	sinks := fmt.Sprintf("  - {name: %scollector, kind: otlp, endpoint: %q, plaintext: true}\n  - {name: %sconsole, kind: stdout}\n", marker, endpoint, marker)
	for _, format := range []string{"native", "ocsf", "semconv"} {
		r, address, ca := syslogServer(t)
		p.syslog[format] = r
		sinks += fmt.Sprintf("  - {name: %ssyslog_%s, kind: syslog, address: %q, format: %s, max_message: 64KiB, tls: {ca: %s}}\n", marker, format, address, format, ca)
	}
	s, err := testkit.StartSite(t.Context(), "", testkit.SiteOptions{Audit: true, Kerberos: true, Environment: []string{environment}, Fill: func(c *testkit.SiteConfig) {
		testkit.WithLab(c)
		for _, mode := range modes {
			c.ExtraRules += rule(mode)
		}
		c.Sinks = sinks
		c.Tracing = fmt.Sprintf("{endpoint: %q, plaintext: true, sample: 1, query_text: masked}", endpoint)
		c.Parser = "{workers: 2, timeout: 5s, max_text: 128KiB}"
		c.Redact = `[{name: card, pattern: '\b4111( ?\d{4}){3}\b', replace: <card>}]`
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.Site = s
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.SetupLab(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, mode := range modes {
		if err := s.Postgres.Exec(t.Context(), "postgres", "CREATE DATABASE "+database(mode)+" OWNER "+testkit.LabRole); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// allowCores lets what this process starts leave core dumps.
func allowCores(t *testing.T) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
}

// enter logs a service in under the rule of a mode.
func (p *place) enter(t *testing.T, mode, more string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, p.DSN("svc-orders", testkit.OrdersPassword, database(mode))+more)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
