package principal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// The ledgers, and what the tests share of them.
const (
	ledger15 = "ledger15"
	ledger18 = "ledger18"
)

// TestBackendCertificates is one site for all, for it takes some seconds to make.
func TestBackendCertificates(t *testing.T) {
	bin, err := testkit.EmbeddedPostgres(t.Context(), 18)
	if err != nil {
		t.Fatal(err)
	}
	s, err := testkit.StartSite(t.Context(), "", testkit.SiteOptions{
		Ledgers: []*testkit.Ledger{{Name: ledger15}, {Name: ledger18, Bin: bin, Catalog: "{role: catalog_ledger}"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("seen", func(t *testing.T) { seen(t, s) })
	t.Run("row level security", func(t *testing.T) { rowLevelSecurity(t, s) })
	t.Run("behind names", func(t *testing.T) { behindNames(t, s) })
	t.Run("on record", func(t *testing.T) { onRecord(t, s) })
	t.Run("no password", func(t *testing.T) { noPassword(t, s) })
	t.Run("reconciled", func(t *testing.T) { reconciled(t, s) })
	t.Run("replaced", func(t *testing.T) { replaced(t, s) })
}

// people are in APP-Orders-Readers, and each has a name that is written another way
// in a certificate.
var people = []struct{ user, password, cn string }{
	{"alice", testkit.AlicePassword, "alice@corp.example.com"},
	{`CORP\BOB`, testkit.BobPassword, "bob@corp.example.com"},
	{"ivan", testkit.IvanPassword, "ivan@corp.example.com"},
	{testkit.ZoeAccount, testkit.ZoePassword, "zo%C3%AB.m%C3%BCller@corp.example.com"},
	{testkit.PatAccount, testkit.PatPassword, "o%27pat%281%29%26%21@corp.example.com"},
}

// ask runs statements through the proxy and returns the last row's first column.
func ask(t *testing.T, dsn string, sql ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has answered
	last := ""
	for _, q := range sql {
		results, err := conn.Exec(ctx, q).ReadAll()
		if err != nil {
			return "", err
		}
		if rows := results[len(results)-1].Rows; len(rows) > 0 {
			last = string(rows[len(rows)-1][0])
		}
	}
	return last, nil
}

func mustAsk(t *testing.T, dsn string, sql ...string) string {
	t.Helper()
	said, err := ask(t, dsn, sql...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return said
}

// seen: the server knows principal and role, and its log says so.
func seen(t *testing.T, s *testkit.Site) {
	t.Helper()
	for _, p := range people {
		dn := "/O=pgcustos/OU=" + testkit.LedgerRole + "/CN=" + p.cn
		if said := mustAsk(t, s.DSN(p.user, p.password, ledger15), "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); said != dn[:min(len(dn), 63)] {
			t.Errorf("15: %q", said)
		}
		if said := mustAsk(t, s.DSN(p.user, p.password, ledger18), "SELECT session_user || ' ' || system_user"); said != testkit.LedgerRole+" cert:CN="+p.cn+",OU="+testkit.LedgerRole+",O=pgcustos" {
			t.Errorf("18: %q", said)
		}
	}
}

// rowLevelSecurity: the policy of the documentation, and what a client may try.
func rowLevelSecurity(t *testing.T, s *testkit.Site) {
	t.Helper()
	const count = "SELECT count(*) || ' of ' || coalesce(string_agg(DISTINCT person, ','), 'nobody') FROM entries"
	for i, want := range []string{"3 of alice@corp.example.com", "3 of bob@corp.example.com", "0 of nobody", "3 of zo%C3%AB.m%C3%BCller@corp.example.com"} {
		p := people[i]
		if said := mustAsk(t, s.DSN(p.user, p.password, ledger18), count); said != want {
			t.Errorf("%s sees %s", p.user, said)
		}
	}
	alice := s.DSN("alice", testkit.AlicePassword, ledger18)
	for _, trick := range []string{
		"SET application_name = 'bob@corp.example.com'",
		"SET search_path = pg_temp, public",
		"SET row_security = off",
		"RESET SESSION AUTHORIZATION",
	} {
		said, err := ask(t, alice, trick, count)
		var refused *pgconn.PgError
		if err != nil && !errors.As(err, &refused) || err == nil && said != "3 of alice@corp.example.com" {
			t.Errorf("after %s: %s, %v", trick, said, err)
		}
	}
}

// onRecord: each signature is, before the session that it serves, once for all the
// sessions of its lifetime.
func onRecord(t *testing.T, s *testkit.Site) {
	t.Helper()
	serial := mustAsk(t, s.DSN("alice", testkit.AlicePassword, ledger18), "SELECT client_serial FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
	all, err := s.Records(func(r *journal.Record) bool { return r.Backend == ledger18 && r.Principal.Account == "alice" })
	if err != nil {
		t.Fatal(err)
	}
	signed, sessions := 0, 0
	for i := range all {
		r := &all[i]
		if r.Type == audit.SessionStart {
			sessions++
		}
		if r.Type == audit.Issued {
			signed++
			if sessions > 0 || r.Role != testkit.LedgerRole || r.Principal.SID == "" || r.Session == "" || r.Decision != audit.Allowed ||
				!strings.HasPrefix(r.Detail, "certificate "+serial+" for alice@corp.example.com in role "+testkit.LedgerRole+" until ") {
				t.Errorf("after %d sessions: %+v", sessions, r)
			}
		}
	}
	if signed != 1 || sessions < 6 {
		t.Errorf("%d signatures for %d sessions", signed, sessions)
	}
	probes, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Issued && r.Session == "" })
	if err != nil {
		t.Fatal(err)
	}
	said, err := s.AddBackend(t.Context(), ledger15)
	if err != nil || !strings.Contains(said, "ok    backend "+ledger15) || strings.Contains(said, "not on record") {
		t.Errorf("%v: %s", err, said)
	}
	after, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Issued && r.Session == "" })
	if err != nil || len(after) != len(probes)+1 || after[len(after)-1].Reader == nil {
		t.Errorf("%d, then %d signatures of commands: %v", len(probes), len(after), err)
	}
}

// noPassword: there is none at the server, nor in the proxy's configuration.
func noPassword(t *testing.T, s *testkit.Site) {
	t.Helper()
	for _, l := range s.Ledgers {
		if said, err := l.Value(t.Context(), "postgres", "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL"); err != nil || said != "0" {
			t.Errorf("%s: %s passwords, %v", l.Name, said, err)
		}
		info, err := os.Stat(filepath.Join(s.Dir, l.Name+"-ca.key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", l.Name, info.Mode(), err)
		}
		if _, err := ask(t, l.DSN(testkit.LedgerRole, "", l.Name), "SELECT 1"); err == nil {
			t.Errorf("%s: the role logs in without a certificate", l.Name)
		}
	}
}
