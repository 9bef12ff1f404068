package main

import (
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// writeJournal records a session of alice's and returns the journal's directory.
func writeJournal(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Open(journal.Options{Path: path, Node: "proxy-1", SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	p := j.Prepare(&audit.Context{
		Session: "one", Principal: audit.Principal{Account: "alice", UPN: "alice@corp.example.com", SID: "S-1-5-21-7-1", Kind: "person"},
		Source: audit.Source{Address: netip.MustParseAddrPort("10.20.3.4:50123")}, Method: "password", Rule: "orders-readers",
		Backend: "orders", Database: "orders", Role: "app_ro_orders", ApplicationName: "=1+1",
	})
	last := uint64(0)
	for _, ev := range []audit.Event{
		{Type: audit.SessionStart, Decision: audit.Allowed},
		{Type: audit.Statement, Decision: audit.Allowed, Command: "SELECT", Class: statement.Read, Text: "SELECT * FROM orders"},
		{Type: audit.Outcome, Result: audit.Completed, Rows: 3, Fate: audit.Committed, Tx: 1},
		{Type: audit.Statement, Decision: audit.Denied, Command: "DROP TABLE", Class: statement.DDL, Tags: statement.TagDDL | statement.TagDestructive, Missing: "class DDL", Incident: "9x3b1c", Text: "DROP TABLE orders"},
		{Type: audit.SessionEnd, Cause: "client_terminated"},
	} {
		at = at.Add(time.Second)
		ev.Time, ev.Prepared = at, p
		if ev.Type == audit.Outcome {
			ev.Statement = last
		}
		r, err := j.Record(&ev)
		if err != nil {
			t.Fatal(err)
		}
		last = r.Sequence
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAuditCommands(t *testing.T) {
	path := writeJournal(t)
	for name, test := range map[string]struct {
		args []string
		code int
		says []string // on stderr for errors, else on stdout
	}{
		"query":          {[]string{"query", "--tag", "destructive"}, exitOK, []string{"DROP TABLE orders", "DENIED", "9x3b1c"}},
		"count":          {[]string{"query", "--type", "statement", "--count", "--by", "principal,decision"}, exitOK, []string{"COUNT  PRINCIPAL  DECISION\n", "    1  alice      denied\n"}},
		"newest":         {[]string{"query", "--limit", "1", "--reverse", "--until", "2026-11-20T10:00:00Z"}, exitOK, []string{"session end"}},
		"session":        {[]string{"session", "one"}, exitOK, []string{"Session one", "→ 3 rows", "DENIED: lacks class DDL", "session ended"}},
		"report":         {[]string{"report", "--until", "2026-11-21"}, exitOK, []string{"# Audit report", "`DROP TABLE orders`"}},
		"report, page":   {[]string{"report", "--until", "2026-11-21", "--format", "html"}, exitOK, []string{"<!DOCTYPE html>", "DROP TABLE orders", "</html>"}},
		"no session":     {[]string{"session", "two"}, exitFailure, []string{"no record of that session: two"}},
		"session of":     {[]string{"session"}, exitUsage, []string{"accepts 1 arg"}},
		"format":         {[]string{"query", "--format", "xml"}, exitUsage, []string{"table, jsonl, csv and ocsf"}},
		"report format":  {[]string{"report", "--format", "pdf"}, exitUsage, []string{"md and html"}},
		"by":             {[]string{"query", "--count", "--by", "colour"}, exitUsage, []string{`nothing is counted by "colour"`, "principal"}},
		"by alone":       {[]string{"query", "--by", "tag"}, exitUsage, []string{"needs count"}},
		"limit":          {[]string{"query", "--limit", "0"}, exitUsage, []string{"must be 1 or more"}},
		"reverse":        {[]string{"query", "--reverse"}, exitUsage, []string{"needs a limit"}},
		"follow, count":  {[]string{"query", "--follow", "--count"}, exitUsage, []string{"does not go together"}},
		"source":         {[]string{"query", "--source", "10.0.0.0/40"}, exitUsage, []string{"neither an IP address nor a network"}},
		"sqlstate":       {[]string{"query", "--sqlstate", "999"}, exitUsage, []string{"no SQLSTATE"}},
		"object":         {[]string{"query", "--object", "a.b.c"}, exitUsage, []string{"is no object"}},
		"since":          {[]string{"report", "--since", "yesterday"}, exitUsage, []string{"is no time"}},
		"no such place":  {[]string{"query", "--journal", "/nowhere"}, exitFailure, []string{"/nowhere"}},
		"until is first": {[]string{"query", "--since", "1h", "--until", "2h"}, exitUsage, []string{"is not before until"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"audit", test.args[0], "--journal", path}, test.args[1:]...)
			r := pgcustos(t, args...)
			said := r.stderr
			if test.code == exitOK {
				said = r.stdout
			}
			if r.code != test.code {
				t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
			}
			for _, want := range test.says {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in\n%s", want, said)
				}
			}
			if strings.Contains(r.stderr, "\x1b") {
				t.Errorf("progress where there is no terminal: %q", r.stderr)
			}
		})
	}
}

func TestAuditExports(t *testing.T) {
	path := writeJournal(t)
	r := pgcustos(t, "audit", "query", "--journal", path, "--type", "statement", "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil || len(rows) != 3 || !strings.Contains(r.stdout, ",'=1+1,") {
		t.Errorf("%v: %q", err, r.stdout)
	}
	for _, format := range []string{"jsonl", "ocsf"} {
		r := pgcustos(t, "audit", "query", "--journal", path, "--format", format)
		n := 0
		for line := range strings.Lines(r.stdout) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Errorf("%s: %v: %s", format, err, line)
			}
			n++
		}
		if n < 5 || r.code != exitOK {
			t.Errorf("%s: %d lines, exit code %d, %s", format, n, r.code, r.stderr)
		}
	}
}

// TestAuditTellsOfDamage: what could be read is printed, and the exit code tells.
func TestAuditTellsOfDamage(t *testing.T) {
	path := writeJournal(t)
	files, err := filepath.Glob(filepath.Join(path, "*", "*.seg"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndex(string(content), "client_terminated")
	content[i] ^= 1
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	r := pgcustos(t, "audit", "report", "--journal", path)
	if r.code != exitFailure || !strings.Contains(r.stdout, "The journal is damaged") || !strings.Contains(r.stderr, files[0]) {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", r.code, r.stderr, r.stdout)
	}
}
