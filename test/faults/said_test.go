package faults

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// tellsAll are settings by which PostgreSQL says what it executes, to a file that a
// program can read.
var tellsAll = []string{
	"log_statement = 'all'", "logging_collector = on", "log_destination = 'jsonlog'", "log_directory = 'log'", "log_filename = 'said'",
	"log_rotation_age = 0", "log_rotation_size = 0",
}

// ran is a statement in a session, with its literals masked: what no worker has judged
// is not on record in any other form.
type ran struct {
	pid  uint64
	text string
}

// executed counts what PostgreSQL says that it executed for clients of the proxy.
func (s *site) executed(t *testing.T) map[ran]int {
	t.Helper()
	f, err := os.Open(filepath.Join(s.Postgres.Dir, "data", "log", "said.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts := map[ran]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var l struct {
			PID     uint64 `json:"pid"`
			User    string `json:"user"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		how, text, found := strings.Cut(l.Message, ": ")
		if found && l.User == testkit.LabRole && (how == "statement" || strings.HasPrefix(how, "execute ")) {
			count(counts, l.PID, text)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// count counts each statement of a text. None of the story has a semicolon.
func count(counts map[ran]int, pid uint64, text string) {
	for part := range strings.SplitSeq(statement.Mask([]byte(text)), ";") {
		if part = strings.TrimSpace(part); part != "" {
			counts[ran{pid, part}]++
		}
	}
}

// allSaid holds that what PostgreSQL executed is on record, as often as it was.
func (s *site) allSaid(t *testing.T) {
	t.Helper()
	recorded := map[ran]int{}
	allowed, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Statement && r.Decision == audit.Allowed })
	if err != nil {
		t.Fatal(err)
	}
	for i := range allowed {
		if err := allowed[i].LoadText(0); err != nil {
			t.Fatal(err)
		}
		count(recorded, allowed[i].BackendPID, allowed[i].Text)
	}
	executed, times := s.executed(t), 0
	for what, n := range executed {
		times += n
		if recorded[what] < n {
			t.Errorf("session %d: executed %d times, on record %d times: %.80s", what.pid, n, recorded[what], what.text)
		}
	}
	t.Logf("%d statements executed, %d on record", times, len(allowed))
	if times == 0 {
		t.Error("nothing was executed")
	}
}

// verifies holds that the journal is what was written.
func (s *site) verifies(t *testing.T) {
	t.Helper()
	v, err := journal.Verify(t.Context(), journal.VerifyOptions{Path: s.Journal})
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.Findings {
		t.Error(v.Findings[i].String())
	}
}
