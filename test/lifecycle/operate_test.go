package lifecycle

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// operate runs a command of the proxy's own program.
func operate(t *testing.T, s *testkit.Site, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, append(args, "--config", s.ConfigFile)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func mustOperate(t *testing.T, s *testkit.Site, want string, args ...string) {
	t.Helper()
	if said, err := operate(t, s, args...); err != nil || !strings.Contains(said, want) {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, said)
	}
}

// refused expects that a log-in is refused for a lock.
func refused(t *testing.T, s *testkit.Site, account, database string) {
	t.Helper()
	_, err := pgconn.Connect(t.Context(), s.DSN(account, password, database))
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "28000" || !strings.Contains(e.Message, "locked by an operator") {
		t.Fatalf("a log-in of %s to %s: %v", account, database, err)
	}
}

// TestOperators sees, ends and locks sessions, over restarts of the proxy.
func TestOperators(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.ExtraRules += rule("both", testkit.GroupReaders, testkit.LabRole, testkit.LabDatabase, "{}")
	})
	hire(t, s, "anna", testkit.GroupReaders)
	hire(t, s, "otto", testkit.GroupReaders)
	anna, otto := enter(t, s, "anna", testkit.LabDatabase).begin("t_anna"), enter(t, s, "otto", testkit.OrdersDatabase)
	said, err := operate(t, s, "sessions")
	if err != nil || !strings.Contains(said, "anna") || !strings.Contains(said, "active") || !strings.Contains(said, "app_ro_orders@orders") {
		t.Fatalf("%v: %s", err, said)
	}
	if said, err := operate(t, s, "sessions", "--user", "otto", "--as-json"); err != nil || strings.Contains(said, "anna") || !strings.Contains(said, `"phase":"idle"`) {
		t.Fatalf("%v: %s", err, said)
	}

	mustOperate(t, s, "1 session ended", "kill", "--user", "ANNA", "--database", testkit.LabDatabase, "--reason", "runs wild")
	if r := anna.gone("killed"); !strings.Contains(r.Detail, "runs wild") {
		t.Errorf("recorded: %s", r.Detail)
	}
	r := s.Await(t, "the operation", func(r *journal.Record) bool { return r.Type == audit.Operation })
	if r.Command != "kill" || r.Detail != "runs wild" || r.Filter != "--user=ANNA --database=lab" || r.Reader == nil || r.Reader.UID != uint32(os.Getuid()) {
		t.Errorf("recorded as %s %s of %+v: %s", r.Command, r.Filter, r.Reader, r.Detail)
	}
	// By every form of the name.
	for _, name := range []string{`corp\otto`, "OTTO@corp.example.com"} {
		other := enter(t, s, "otto", testkit.LabDatabase)
		mustOperate(t, s, "1 session ended", "kill", "--user", name, "--database", testkit.LabDatabase, "--reason", "another form")
		other.gone("killed")
	}
	otto.do("SELECT 1")

	anna = enter(t, s, "anna", testkit.LabDatabase)
	mustOperate(t, s, "1 session ended", "lock", "--user", "anna", "--reason", "INC-1: laptop stolen")
	lock := anna.gone("locked")
	t.Logf("the lock ended the session after %s", lock.Duration)
	refused(t, s, "anna", testkit.OrdersDatabase)
	// The lock is the account's, whatever it is called; it outlives crashes.
	must(t, s.Controller.Rename(t.Context(), "anna", "hannah"))
	must(t, s.KillProxy())
	must(t, s.StartProxy(t.Context()))
	refused(t, s, "hannah", testkit.OrdersDatabase)
	enter(t, s, "otto", testkit.OrdersDatabase).do("SELECT 1")
	mustOperate(t, s, "laptop stolen", "sessions", "--locks")
	mustOperate(t, s, "", "unlock", "--user", "anna", "--reason", "found again")
	enter(t, s, "hannah", testkit.OrdersDatabase).do("SELECT 1")

	mustOperate(t, s, "ended", "lock", "--all", "--reason", "INC-2")
	refused(t, s, "otto", testkit.OrdersDatabase)
	mustOperate(t, s, "", "unlock", "--all", "--reason", "over")
	wrongly(t, s)
	strangers(t, s)
	damaged(t, s)
}

// wrongly calls the commands wrongly: nothing happens.
func wrongly(t *testing.T, s *testkit.Site) {
	t.Helper()
	otto := enter(t, s, "otto", testkit.OrdersDatabase)
	for want, args := range map[string][]string{
		"required flag": {"kill", "--user", "otto"},
		"give a reason": {"kill", "--user", "otto", "--reason", " "},
		"name what is":  {"kill", "--reason", "none is meant"},
		"neither an":    {"lock", "--source", "everywhere", "--reason", "x"},
		"not locked":    {"lock", "--session", "x", "--reason", "x"},
		"printed":       {"lock", "--user", "otto", "--reason", "a\x1b[2Jb"},
		"no such lock":  {"unlock", "--user", "otto", "--reason", "x"},
	} {
		if said, err := operate(t, s, args...); err == nil || !strings.Contains(said, want) {
			t.Errorf("%q: %v: %s", args, err, said)
		}
	}
	otto.do("SELECT 1")
}

// strangers: the socket is for the proxy's own user and root alone.
func strangers(t *testing.T, s *testkit.Site) {
	t.Helper()
	dir := filepath.Join(s.Journal, "control")
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "control.sock"): 0o600, filepath.Join(dir, "locks.json"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v", path, err)
		}
	}
	if os.Getuid() != 0 {
		return // only root can be somebody else
	}
	cmd := exec.CommandContext(t.Context(), s.Binary, "kill", "--all", "--reason", "x", "--config", s.ConfigFile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "permission denied") {
		t.Errorf("a stranger: %v: %s", err, said)
	}
}

// damaged: where nobody knows who is locked out, nobody is let in.
func damaged(t *testing.T, s *testkit.Site) {
	t.Helper()
	must(t, s.StopProxy())
	must(t, os.WriteFile(filepath.Join(s.Journal, "control", "locks.json"), []byte(`[{"user":"ot`), 0o600))
	if said, err := operate(t, s, "serve"); err == nil || !strings.Contains(said, "nobody knows who is locked out") {
		t.Errorf("%v: %s", err, said)
	}
}
