package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	tests := []struct {
		args []string
		code int
		says string // on stderr for errors, else on stdout
	}{
		{nil, exitUsage, "a command is missing"},
		{[]string{"nonsense"}, exitUsage, `unknown command "nonsense"`},
		{[]string{"check", "--nonsense"}, exitUsage, "unknown flag: --nonsense"},
		{[]string{"check", "extra"}, exitUsage, `unknown command "extra"`},
		{[]string{"explain"}, exitUsage, `required flag(s) "database", "source", "user" not set`},
		{[]string{"explain", "--user", "a", "--database", "d", "--source", "here"}, exitUsage, `--source "here" is not an IP address`},
		{[]string{"explain", "--user", "a", "--database", "d", "--source", "10.0.0.1", "--method", "wish"}, exitUsage, `--method "wish" is not one of`},
		{[]string{"backend"}, exitUsage, "a command is missing"},
		{[]string{"backend", "add"}, exitUsage, "accepts 1 arg(s)"},
		{[]string{"audit"}, exitUsage, "a command is missing"},
		{[]string{"check", "--config", "/nowhere/pgcustos.yaml"}, exitFailure, "/nowhere/pgcustos.yaml: no such file"},
		{[]string{"serve", "--config", "/nowhere/pgcustos.yaml"}, exitFailure, "/nowhere/pgcustos.yaml: no such file"},
		{[]string{"--help"}, exitOK, "explain"},
		{[]string{"version"}, exitOK, "pgcustos "},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			r := pgcustos(t, tt.args...)
			said := r.stderr
			if tt.code == exitOK {
				said = r.stdout
			}
			if r.code != tt.code || !strings.Contains(said, tt.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// TestErrorsDoNotAct: what a file or a server had a say in acts in no terminal.
func TestErrorsDoNotAct(t *testing.T) {
	journal := t.TempDir()
	if err := os.Mkdir(filepath.Join(journal, "holds"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(journal, "holds", "\x1b[2J\u202e.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := pgcustos(t, "audit", "holds", "--journal", journal)
	if r.code != exitFailure || !strings.HasSuffix(r.stderr, "it is damaged\n") || strings.ContainsAny(r.stderr, "\x1b\u202e") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// TestWritableConfiguration: check warns of a configuration that is everybody's to write.
func TestWritableConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pgcustos.yaml")
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o644: false, 0o664: false, 0o666: true, 0o602: true} {
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		r := &report{w: &out}
		if r.writable(file); strings.Contains(out.String(), "everybody") != warns || r.failed {
			t.Errorf("mode %o: %s", mode, out.String())
		}
	}
}

// TestParserWorkerIsHidden: the command is nobody's to call.
func TestParserWorkerIsHidden(t *testing.T) {
	if r := pgcustos(t, "--help"); strings.Contains(r.stdout, parserWorker) {
		t.Errorf("help says:\n%s", r.stdout)
	}
}

// TestBrokenConfiguration: every complaint at once, with line and column.
func TestBrokenConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pgcustos.yaml")
	example, err := os.ReadFile("../../pgcustos.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The example alone: none of the files that it names is there.
	text := strings.NewReplacer("backend: orders", "backend: oders", "[READ, MISC, MISC_SET]", "[REED]").Replace(string(example))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := pgcustos(t, "check", "--config", file)
	if r.code != exitFailure || r.stdout != "" {
		t.Errorf("exit code %d, stdout %q", r.code, r.stdout)
	}
	golden(t, "broken-configuration", strings.ReplaceAll(r.stderr, dir, "DIR"))
}
