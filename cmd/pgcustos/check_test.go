package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// site is a folder with a configuration for the shared controller and server.
type site struct {
	dir, config string
	text        string
}

func newSite(t *testing.T) *site {
	t.Helper()
	dc, pg := testkit.SharedController(t), testkit.SharedPostgres(t)
	s := &site{dir: t.TempDir()}
	ca, err := testkit.NewCA("proxy")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(testkit.Leaf{CommonName: "proxy", Names: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := leaf.Write(s.dir, "server")
	if err != nil {
		t.Fatal(err)
	}
	s.file(t, "bind.password", testkit.ReaderPassword)
	for role, password := range testkit.OrdersRoles() {
		s.file(t, role+".password", password)
	}
	s.file(t, "wrong.password", "wrong")
	s.text = fmt.Sprintf(`node: test
listen:
  address: 127.0.0.1:0
  tls: {certificate: %s, key: %s}
directory:
  domain: %s
  controllers: [%s]
  ca: %s
  server_name: %s
  bind_name: svc-pgcustos@%s
  bind_password_file: bind.password
backends:
  - name: orders
    hosts: ["%s:%d"]
    tls: {ca: %s}
    tier: 1
    credentials:
      app_ro_orders: {password_file: app_ro_orders.password}
      migrate_orders: {password_file: migrate_orders.password}
rules:
  - name: migrations
    groups: [APP-Orders-Migrations]
    databases: [orders]
    sources: [127.0.0.0/16]
    reason: CHG-[0-9]+
    grant: {backend: orders, role: migrate_orders, classes: [READ, WRITE, DDL]}
  - name: readers
    groups: [APP-Orders-Readers]
    databases: [orders]
    sources: [127.0.0.0/16]
    grant: {backend: orders, role: app_ro_orders, classes: [READ]}
journal: {path: journal}
`, certificate, key, testkit.Domain, dc.URL, dc.CAFile, testkit.ControllerName, testkit.Domain, pg.Host, pg.Port, pg.CAFile)
	s.write(t)
	return s
}

func (s *site) file(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// write writes the configuration with replacements, old and new in turn.
func (s *site) write(t *testing.T, replace ...string) {
	t.Helper()
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(s.text, replace[i]) {
			t.Fatalf("the configuration does not hold %q", replace[i])
		}
	}
	s.config = filepath.Join(s.dir, "pgcustos.yaml")
	s.file(t, "pgcustos.yaml", strings.NewReplacer(replace...).Replace(s.text))
}

// keytab exports the keys of a principal of an account of its own, which is
// changed afterwards; without a change, those of a principal that is there.
func keytab(t *testing.T, s *site, principal string, change func(c *testkit.Controller, ctx context.Context, account, password string) error) string {
	t.Helper()
	dc, ctx := testkit.SharedController(t), t.Context()
	account := strings.NewReplacer("/", "-", ".example.com", "").Replace(principal)
	var steps []func() error
	if change != nil {
		steps = append(steps,
			func() error { return dc.CreateUser(ctx, account, "Serves-Tickets-1") },
			func() error { return dc.SetAttribute(ctx, account, "servicePrincipalName", principal) },
			func() error { return dc.SetAttribute(ctx, account, "msDS-SupportedEncryptionTypes", "24") })
	}
	name := account + ".keytab"
	steps = append(steps, func() error { return dc.ExportKeytab(ctx, filepath.Join(s.dir, name), principal) })
	if change != nil {
		steps = append(steps, func() error { return change(dc, ctx, account, "Serves-Tickets-2") })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

var volatile = regexp.MustCompile(`[0-9]+ MiB free|signing key [0-9a-f]{16}|127\.[0-9.]+:[0-9]+|sha256 [0-9a-f]{64}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+(Z|[+-][0-9:]+)`)

func (s *site) mask(text string) string {
	return volatile.ReplaceAllString(strings.ReplaceAll(text, s.dir, "DIR"), "…")
}

func TestCheck(t *testing.T) {
	s := newSite(t)
	pg := testkit.SharedPostgres(t)
	for _, sql := range []string{
		"CREATE ROLE check_super LOGIN SUPERUSER PASSWORD 'check'",
		"CREATE ROLE check_nologin PASSWORD 'check'",
		"CREATE ROLE check_files LOGIN NOINHERIT PASSWORD 'check'",
		"GRANT pg_execute_server_program TO check_files",
	} {
		if err := pg.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	s.file(t, "check.password", "check")
	s.file(t, "audit_writer.password", "writes")
	for _, sql := range []string{
		"CREATE ROLE check_path LOGIN PASSWORD 'check'", "ALTER ROLE check_path SET search_path = private, public",
		"CREATE ROLE check_own LOGIN PASSWORD 'check'",
		"CREATE ROLE check_access LOGIN PASSWORD 'check'", "GRANT SELECT ON pg_hba_file_rules TO check_access", "GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO check_access",
		"CREATE DATABASE check_paths", "ALTER DATABASE check_paths SET search_path = pg_catalog", "CREATE DATABASE check_audit",
	} {
		if err := pg.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := pg.Exec(t.Context(), "postgres", "CREATE SCHEMA check_own AUTHORIZATION check_own"); err != nil {
		t.Fatal(err)
	}
	if r := pgcustos(t, "audit", "keygen", "--out", filepath.Join(s.dir, "journal.key")); r.code != exitOK {
		t.Fatal(r.stderr)
	}
	sinks := "sinks:\n" + fmt.Sprintf("  - {name: auditdb, kind: postgres, host: %s, port: %d, database: check_audit, user: audit_writer, password_file: audit_writer.password, tls: {ca: %s}}\n", pg.Host, pg.Port, pg.CAFile)
	s.write(t, "journal: {path: journal}\n", "journal: {path: journal}\n"+sinks)
	if r := pgcustos(t, "audit", "init", "--config", s.config, "--host", pg.Dir); r.code != exitOK {
		t.Fatal(r.stderr)
	}
	with := func(more string) []string {
		return []string{"journal: {path: journal}\n", "journal: {path: journal}\n" + more}
	}
	if err := os.Mkdir(filepath.Join(s.dir, "journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	role := func(name string) []string {
		return []string{"app_ro_orders: {password_file: app_ro_orders.password}", name + ": {password_file: check.password}", "role: app_ro_orders", "role: " + name}
	}
	tests := []struct {
		name    string
		replace []string
		code    int
	}{
		{"in-order", nil, exitOK},
		{"role-missing", role("app_xx_orders"), exitFailure},
		{"role-superuser", append(role("check_super"), "databases: [orders]", `databases: ["*"]`), exitFailure},
		{"role-nologin", role("check_nologin"), exitFailure},
		{"role-programs", append(role("check_files"), "databases: [orders]", `databases: [postgres]`), exitFailure},
		{"role-password", []string{"password_file: app_ro_orders.password", "password_file: wrong.password"}, exitFailure},
		{"database-missing", []string{"databases: [orders]", "databases: [oders]"}, exitFailure},
		{"bind-password", []string{"bind_password_file: bind.password", "bind_password_file: wrong.password"}, exitFailure},
		{"search-path-role", append(role("check_path"), "databases: [orders]", "databases: [postgres, check_paths]"), exitOK},
		{"search-path-schema", append(role("check_own"), "databases: [orders]", "databases: [postgres]"), exitOK},
		{"access", append(role("check_access"), "databases: [orders]", "databases: [postgres]"), exitOK},
		{"signing-key", []string{"{path: journal}", "{path: journal, signing_key: journal.key}"}, exitOK},
		{"sinks", with(sinks + "  - {name: out, kind: stdout}\n"), exitOK},
		{"sinks-unreachable", with("sinks:\n" +
			"  - {name: siem, kind: syslog, address: 127.0.0.1:1, tls: {ca: " + pg.CAFile + "}}\n" +
			"  - {name: collector, kind: otlp, endpoint: 127.0.0.1:1, plaintext: true}\n"), exitFailure},
		{"sinks-no-schema", with(strings.Replace(sinks, "check_audit", "check_paths", 1)), exitFailure},
		{"kerberos", with("kerberos: {keytab: " + keytab(t, s, testkit.ProxyPrincipal, nil) + "}\n"), exitOK},
		{"kerberos-stale", with("kerberos: {keytab: " + keytab(t, s, "postgres/stale.example.com", (*testkit.Controller).SetPassword) + "}\n"), exitFailure},
		{"kerberos-nobody", with("kerberos: {keytab: " + keytab(t, s, "postgres/gone.example.com",
			func(c *testkit.Controller, ctx context.Context, account, _ string) error {
				return c.Delete(ctx, account)
			}) + "}\n"), exitFailure},
		{"journal-absent", []string{"path: journal", "path: other"}, exitOK},
		{"journal-a-file", []string{"path: journal", "path: check.password"}, exitFailure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.write(t, tt.replace...)
			r := pgcustos(t, "check", "--config", s.config)
			if r.code != tt.code || r.stderr != "" {
				t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
			}
			for _, secret := range []string{testkit.ReaderPassword, "ro-0815-Orders"} {
				if strings.Contains(r.stdout, secret) {
					t.Error("a password is printed")
				}
			}
			golden(t, "check-"+tt.name, s.mask(r.stdout))
		})
	}
}
