package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certified is a site whose backend has certificates, in the place of passwords.
func certified(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.write(t, `    credentials:
      app_ro_orders: {password_file: app_ro_orders.password}
      migrate_orders: {password_file: migrate_orders.password}
`, "    auth: certificate\n    certificate: {ca: orders-ca.pem, key: orders-ca.key}\n")
	return s
}

// A server that knows nothing of the authority: all that it needs is printed, and
// nothing is made a second time.
func TestBackendAdd(t *testing.T) {
	s := certified(t)
	for range 2 {
		r := pgcustos(t, "backend", "add", "orders", "--config", s.config, "--from", "10.20.0.5", "--from", "2001:db8::/64")
		if r.code != exitFailure || r.stderr != "" {
			t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
		}
		for _, want := range []string{
			"    ssl_ca_file = 'orders-ca.pem'\n",
			"    hostssl orders app_ro_orders 10.20.0.5/32 cert map=pgcustos clientname=DN\n",
			"    hostssl orders migrate_orders 2001:db8::/64 cert map=pgcustos clientname=DN\n",
			`    pgcustos  "/^CN=[^,]+,OU=([a-z0-9_]+),O=pgcustos$"  \1` + "\n",
			"    CREATE ROLE migrate_orders LOGIN PASSWORD NULL;\n",
			"FAIL  backend orders",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%q is missing in:\n%s", want, r.stdout)
			}
		}
	}
	for name, mode := range map[string]os.FileMode{"orders-ca.key": 0o600, "orders-ca.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestBackendRefuses(t *testing.T) {
	passwords, s := newSite(t), certified(t)
	passwords.write(t)
	s.file(t, "half.pem", "")
	for _, tt := range []struct {
		says string
		args []string
	}{
		{"has passwords: give it auth: certificate", []string{"add", "orders", "--config", passwords.config}},
		{`there is no backend "ledger"`, []string{"add", "ledger", "--config", s.config}},
		{"neither an IP address nor a network", []string{"add", "orders", "--config", s.config, "--from", "here"}},
		{"has no authority yet", []string{"rotate", "orders", "--config", s.config}},
	} {
		r := pgcustos(t, append([]string{"backend"}, tt.args...)...)
		if r.code != exitFailure || !strings.Contains(r.stderr, tt.says) {
			t.Errorf("%v: exit code %d, %s", tt.args, r.code, r.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "orders-ca.key")); err == nil {
		t.Error("a key was made")
	}
}

func TestQuoteName(t *testing.T) {
	for name, want := range map[string]string{"orders": "orders", "all": `"all"`, "replication": `"replication"`, "my db": `"my db"`, `a"b`: `"a""b"`, "Orders": `"Orders"`} {
		if got := quoteName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
