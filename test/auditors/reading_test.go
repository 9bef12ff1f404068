package auditors

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// pgcustos runs the program, and returns what it complains of.
func pgcustos(t *testing.T, s *testkit.Site, args ...string) (stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), s.Binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return errs.String()
}

// readings returns those that are on record.
func readings(t *testing.T, s *testkit.Site) []journal.Record {
	t.Helper()
	found, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Reading })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func notOnRecord(stderr string) bool { return strings.Contains(stderr, "not on record") }

// TestReadingsAreOnRecord reads the journal while the proxy serves, while nobody
// does, as a copy, and over what a process left that died.
func TestReadingsAreOnRecord(t *testing.T) {
	s := newSite(t)
	key := filepath.Join(s.Dir, "journal.key")
	pgcustos(t, s, "audit", "keygen", "--out", key)
	stop(t, s)
	if err := s.WriteConfig(func(c *testkit.SiteConfig) { c.SigningKey = key }); err != nil {
		t.Fatal(err)
	}
	start(t, s)
	config := "--config=" + s.ConfigFile

	// While the proxy serves; a follow would be one record too, made before it begins.
	for _, args := range [][]string{
		{"audit", "query", config, "--principal", "alice", "--since", "24h"},
		{"audit", "query", config, "--count", "--contains", "a 'b'"},
		{"audit", "tail", config, "-n", "1"},
		{"audit", "report", config},
		{"audit", "cat", "--journal", s.Journal},
	} {
		if stderr := pgcustos(t, s, args...); notOnRecord(stderr) {
			t.Errorf("%q: %s", args, stderr)
		}
	}
	got := readings(t, s)
	var said []string
	for i := range got {
		if by := got[i].Reader; by == nil || int(by.UID) != os.Getuid() || by.PID == 0 || got[i].Cause != "served" {
			t.Errorf("%+v, %+v", got[i], by)
		}
		said = append(said, strings.TrimSpace(got[i].Command+" "+got[i].Filter))
	}
	want := "audit query --principal=alice --since=24h; audit query --contains=\"a 'b'\" --count=true; audit tail --lines=1; audit report; audit cat"
	if strings.Join(said, "; ") != want {
		t.Errorf("on record is\n%q, and not\n%q", said, want)
	}

	// While nobody serves: a stream of the command's own, signed.
	stop(t, s)
	if stderr := pgcustos(t, s, "audit", "query", config, "--decision", "denied"); notOnRecord(stderr) {
		t.Error(stderr)
	}
	all := readings(t, s)
	if last := all[len(all)-1]; len(all) != len(got)+1 || last.Cause != "alone" || last.Filter != "--decision=denied" {
		t.Errorf("%d readings, the last is %+v", len(all), last)
	}
	verified(t, s, key)

	// A copy is left as it is.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(s.Journal)); err != nil {
		t.Fatal(err)
	}
	if stderr := pgcustos(t, s, "audit", "query", "--journal", copied); !notOnRecord(stderr) {
		t.Errorf("of a copy: %q", stderr)
	}

	// What a process left that died is left to the next one that serves.
	start(t, s)
	if err := s.KillProxy(); err != nil {
		t.Fatal(err)
	}
	if stderr := pgcustos(t, s, "audit", "query", config); !notOnRecord(stderr) || !strings.Contains(stderr, "died") {
		t.Errorf("over a stream that was left: %q", stderr)
	}
	start(t, s) // and over the socket that was left
	if stderr := pgcustos(t, s, "audit", "query", config); notOnRecord(stderr) {
		t.Error(stderr)
	}
	verified(t, s, key)
}

func verified(t *testing.T, s *testkit.Site, key string) {
	t.Helper()
	pgcustos(t, s, "audit", "verify", "--config", s.ConfigFile, "--public-key", key+".pub")
}

func stop(t *testing.T, s *testkit.Site) {
	t.Helper()
	if err := s.StopProxy(); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, s *testkit.Site) {
	t.Helper()
	if err := s.StartProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
}
