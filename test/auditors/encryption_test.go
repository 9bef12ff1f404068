package auditors

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestOnlyAuditorsRead: what a process has recorded is encrypted once the sinks have
// it, and read by whom it was encrypted to.
func TestOnlyAuditorsRead(t *testing.T) {
	s := newSite(t)
	key, identity := filepath.Join(s.Dir, "journal.key"), filepath.Join(t.TempDir(), "auditor.age")
	pgcustos(t, s, "audit", "keygen", "--out", key)
	auditor := newIdentity(t, identity)
	stop(t, s)
	if err := s.WriteConfig(func(c *testkit.SiteConfig) {
		c.SigningKey, c.Encryption = key, "{recipients: ["+auditor+"]}"
	}); err != nil {
		t.Fatal(err)
	}
	start(t, s)
	const planted = "what only auditors read"
	if rows, code := ask(t, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase), "SELECT 1 AS \""+planted+"\""); code != "" || len(rows) != 1 {
		t.Fatalf("%v, %s", rows, code)
	}
	stop(t, s) // which seals what it has recorded
	start(t, s)
	awaitNothing(t, s.Journal, planted)

	query := []string{"audit", "query", "--config", s.ConfigFile, "--contains", planted}
	if out, err := exec.CommandContext(t.Context(), s.Binary, query...).CombinedOutput(); err == nil || !strings.Contains(string(out), auditor) || strings.Contains(string(out), "SELECT 1") {
		t.Errorf("without an identity: %v, %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), s.Binary, append(query, "--identity", identity)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "alice") || !strings.Contains(string(out), planted) {
		t.Errorf("with the auditor's: %v, %s", err, out)
	}
	verified(t, s, key)
	pgcustos(t, s, "audit", "verify", "--config", s.ConfigFile, "--public-key", key+".pub", "--identity", identity)
	rows, code := ask(t, s.DSN("vera", testkit.VeraPassword, "audit"), "SELECT count(*) FROM pgcustos.statements WHERE text LIKE '%"+planted+"%'")
	if code != "" || len(rows) != 1 || rows[0] == "0" {
		t.Errorf("the audit database has %v, %s", rows, code)
	}
}

// newIdentity writes an auditor's identity to a file, and returns the public half.
func newIdentity(t *testing.T, file string) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err == nil {
		err = os.WriteFile(file, []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// awaitNothing waits until no file of a folder holds a text in clear.
func awaitNothing(t *testing.T, folder, text string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		where := holders(t, folder, text)
		if len(where) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%q stands in clear in %v", text, where)
		}
	}
}

// holders are the files that hold a text, or are compressed and may.
func holders(t *testing.T, folder, text string) (where []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreMissing(err)
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) || strings.HasSuffix(path, ".zst") {
			where = append(where, path)
		}
		return ignoreMissing(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
