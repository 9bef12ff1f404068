package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestSinks makes the audit database with the command, runs a session, and finds
// the session in the database, on the standard output and in the metrics.
func TestSinks(t *testing.T) {
	site, pg := newSite(t), testkit.SharedPostgres(t)
	if err := pg.Exec(t.Context(), "postgres", "CREATE DATABASE audit_sinks"); err != nil {
		t.Fatal(err)
	}
	site.file(t, "audit_writer.password", "audit-writer-1\n")
	site.text += fmt.Sprintf(`admin: {address: 127.0.0.1:0}
sinks:
  - {name: auditdb, kind: postgres, host: %s, port: %d, database: audit_sinks, user: audit_writer, password_file: audit_writer.password, tls: {ca: %s}}
  - {name: console, kind: stdout}
  - {name: nobody, kind: syslog, address: "127.0.0.1:1", plaintext: true}
`, pg.Host, pg.Port, pg.CAFile)
	site.write(t)
	for _, want := range []string{"schema pgcustos: created", "the audit database of sink auditdb is ready"} {
		r := pgcustos(t, "audit", "init", "--config", site.config, "--host", pg.Dir)
		if r.code != exitOK || !strings.Contains(r.stdout, want) {
			t.Fatalf("init: %d, %q, %q", r.code, r.stdout, r.stderr)
		}
	}
	out, err := os.Create(site.dir + "/stdout")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // it is read below
	s := startServerTo(t, site.config, out)
	admin := "http://" + s.waitFor(t, "admin server")["address"].(string)
	conn, err := connectAlice(t, s.waitFor(t, "serving")["address"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the server ends it
	if _, err := conn.Exec(t.Context(), "SELECT 'sunk'"); err != nil {
		t.Fatal(err)
	}
	if err := testkit.WaitFor(t.Context(), func() error {
		got, err := pg.Value(t.Context(), "audit_sinks", "SELECT account || ' ' || result FROM pgcustos.statements WHERE text = 'SELECT ''sunk'''")
		if err != nil || got != "alice completed" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	_, metrics := status(t, admin+"/metrics")
	for _, want := range []string{
		`pgcustos_sink_delivered_total{sink="auditdb"}`, `pgcustos_sink_failures_total{sink="nobody"}`,
		`pgcustos_sink_lag_records{sink="nobody"}`, `pgcustos_sink_lag_seconds{sink="console"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s", want)
		}
	}
	s.signal(t, syscall.SIGTERM)
	if code := s.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	// What was recorded on the way out is there too.
	if got, err := pg.Value(t.Context(), "audit_sinks", "SELECT count(*) FROM pgcustos.sessions WHERE ended IS NOT NULL"); err != nil || got != "1" {
		t.Errorf("%s sessions ended, %v", got, err)
	}
	printed(t, out.Name())
}

// printed looks at the standard output: JSON lines, up to the stop.
func printed(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]int{}
	for _, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		var record struct{ Type, Cause string }
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		types[record.Type+" "+record.Cause]++
	}
	if types["configuration stop"] != 1 || types["statement "] != 1 || types["outcome "] != 1 {
		t.Errorf("printed: %v", types)
	}
}

func TestInitRefusals(t *testing.T) {
	site := newSite(t)
	for want, args := range map[string][]string{
		"the configuration has no sink of kind postgres":       nil,
		"the configuration has no sink other of kind postgres": {"--sink", "other"},
	} {
		r := pgcustos(t, append([]string{"audit", "init", "--config", site.config}, args...)...)
		if r.code != exitFailure || !strings.Contains(r.stderr, want) {
			t.Errorf("%d, %q", r.code, r.stderr)
		}
	}
}
