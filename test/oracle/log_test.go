package oracle

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// said is what PostgreSQL says of one item.
type said struct {
	lines []auditLine
	drops []string
}

// auditLine is one line of pgAudit's.
type auditLine struct {
	class   statement.Class
	command string
	text    string
}

// logged is a line of the server's log.
type logged struct {
	PID             uint64 `json:"pid"`
	ApplicationName string `json:"application_name"`
	Message         string `json:"message"`
	Severity        string `json:"error_severity"`
}

// listen reads the server's log from an offset on: what it says of each item, by its number. It
// waits until the log has the mark of the last one.
func listen(t *testing.T, s *testkit.Site, from int64, sessions map[uint64]bool, last int) map[int]*said {
	t.Helper()
	var items map[int]*said
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		items = readLog(t, s, from, sessions)
		if items[last] == nil {
			return errors.New("the server's log lacks the last mark")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// logSize returns how long the server's log is.
func logSize(s *testkit.Site) int64 {
	info, err := os.Stat(serverLog(s))
	if err != nil {
		return 0
	}
	return info.Size()
}

func readLog(t *testing.T, s *testkit.Site, from int64, sessions map[uint64]bool) map[int]*said {
	t.Helper()
	f, err := os.Open(serverLog(s))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	items, current := map[int]*said{}, map[uint64]*said{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var l logged
		if json.Unmarshal(lines.Bytes(), &l) != nil || !sessions[l.PID] {
			continue // the last line may be half written
		}
		if text, ok := strings.CutPrefix(l.Message, "statement: "); ok {
			if n, ok := marked(text); ok {
				items[n] = &said{}
				current[l.PID] = items[n]
				continue
			}
		}
		now := current[l.PID]
		if now == nil {
			continue
		}
		if text, ok := strings.CutPrefix(l.Message, "AUDIT: "); ok {
			if line := parseAudit(t, text); line.command != "???" { // a relation that nothing is done to
				now.lines = append(now.lines, line)
			}
		} else if text, ok := strings.CutPrefix(l.Message, "DROPPED: "); ok {
			now.drops = append(now.drops, text)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return items
}

// parseAudit reads AUDIT_TYPE,STATEMENT_ID,SUBSTATEMENT_ID,CLASS,COMMAND,
// OBJECT_TYPE,OBJECT_NAME,STATEMENT,PARAMETER (pgAudit's README).
func parseAudit(t *testing.T, text string) auditLine {
	t.Helper()
	r := csv.NewReader(strings.NewReader(text))
	r.LazyQuotes = true
	r.FieldsPerRecord = -1
	f, err := r.Read()
	if err != nil || len(f) < 8 {
		t.Fatalf("%d fields, %v: %s", len(f), err, text)
	}
	class, ok := statement.ParseClass(f[3])
	if !ok {
		t.Fatalf("no class %q: %s", f[3], text)
	}
	if f[4] == "SET" || f[4] == "RESET" {
		class = statement.MiscSet // which pgAudit knows as a setting, and does not print
	}
	return auditLine{class: class, command: f[4], text: f[7]}
}
