package view

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// TestReading shows a reading of the record in every form.
func TestReading(t *testing.T) {
	path, j := startJournal(t)
	record(t, j, audit.Event{
		Type: audit.Reading, Decision: audit.Allowed, Cause: "served", Command: "audit query", Filter: "--principal alice --since 24h",
		Reader: &audit.Reader{User: "pgcustos", UID: 998, Login: "erin", PID: 4711},
	})
	for format, want := range map[Format]string{
		Table: "erin as pgcustos (local)",
		JSONL: `"reader":{"user":"pgcustos","uid":998,"login":"erin","pid":4711}`,
		CSV:   "erin as pgcustos,'--principal alice --since 24h",
		OCSF:  `"query_info":{"query_string":"audit query --principal alice --since 24h"}`,
	} {
		out := query(t, Options{Path: path, Format: format, Filter: Filter{Type: "audit.read"}})
		if !strings.Contains(out, want) || !strings.Contains(out, "audit query") {
			t.Errorf("%s: %s", format, out)
		}
	}
	for name, want := range map[string]int{"erin": 1, "pgcustos": 1, "alice": 0} {
		if n := strings.Count(query(t, Options{Path: path, Format: JSONL, Filter: Filter{Principal: name}}), "audit.read"); n != want {
			t.Errorf("--principal %s finds %d", name, n)
		}
	}
	for _, m := range decode(t, query(t, Options{Path: path, Format: OCSF, Filter: Filter{Type: "audit.read"}})) {
		validate(t, m)
		if m["type_uid"] != 600504.0 {
			t.Errorf("type %v", m["type_uid"])
		}
	}
}

// TestHostileReadings: nothing that a reader is called, or asks for, acts in an output.
func TestHostileReadings(t *testing.T) {
	path := hostileJournal(t)
	for _, format := range []Format{Table, JSONL, CSV, OCSF} {
		out := query(t, Options{Path: path, Format: format, Filter: Filter{Type: "audit.read"}})
		if harmless(t, strings.ReplaceAll(out, "\r\n", "\n"), "\n\t"); strings.Count(out, "audit.read") < len(hostile) && format != Table {
			t.Errorf("%s: %s", format, out)
		}
	}
}
