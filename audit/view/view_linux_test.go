package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

func query(t *testing.T, o Options) string {
	t.Helper()
	var b, warnings bytes.Buffer
	o.Warnings = &warnings
	if err := Query(t.Context(), &b, o); err != nil {
		t.Fatal(err)
	}
	if warnings.Len() > 0 {
		t.Errorf("warnings: %s", &warnings)
	}
	return b.String()
}

// volatile are sequences: a journal has records of its own before others'.
var volatile = regexp.MustCompile(`("sequence":|"statement":|STREAM[,/])[0-9]+`)

func TestOutputs(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	stream := j.Stream()
	of := Filter{Until: noon.Add(time.Hour)} // without the journal's own first record
	for name, o := range map[string]Options{
		"table-wide":   {Filter: Filter{Type: "statement"}},
		"table-narrow": {Filter: Filter{Principal: "ALICE"}, Width: 140},
		"table-last":   {Filter: Filter{Principal: "bob"}, Limit: 2, Reverse: true},
		"table-first":  {Filter: Filter{Type: "statement"}, Limit: 2},
		"lines":        {Filter: Filter{Tag: "destructive"}, Format: JSONL},
		"csv":          {Format: CSV, Filter: of},
		"csv-empty":    {Format: CSV, Filter: Filter{Principal: "mallory"}},
		"ocsf":         {Format: OCSF, Filter: of},
		"count":        {Count: true, By: []string{"principal", "tag"}, Filter: Filter{Type: "statement"}},
		"count-jsonl":  {Count: true, By: []string{"decision"}, Format: JSONL, Limit: 3, Filter: of},
		"count-csv":    {Count: true, By: []string{"Object", "sqlstate"}, Format: CSV, Filter: of},
		"count-all":    {Count: true, Filter: of},
		"count-none":   {Count: true, Filter: Filter{Principal: "mallory"}},
	} {
		t.Run(name, func(t *testing.T) {
			o.Path = path
			golden(t, name, volatile.ReplaceAllString(strings.ReplaceAll(query(t, o), stream, "STREAM"), "${1}N"))
		})
	}
	loud := query(t, Options{Path: path, Filter: Filter{Type: "statement"}, Color: true})
	if strings.Count(loud, "\x1b[1;31m") != 3 {
		t.Errorf("not three lines are coloured:\n%s", loud)
	}
}

// decode reads JSON lines.
func decode(t *testing.T, lines string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(lines) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, m)
	}
	return out
}

func TestFilters(t *testing.T) {
	path, j := startJournal(t)
	before := float64(story(t, j))
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for name, test := range map[string]struct {
		filter Filter
		want   []float64 // sequences in the story
	}{
		"account":           {Filter{Principal: "Bob"}, []float64{7, 8, 9, 10, 15}},
		"UPN":               {Filter{Principal: "BOB@corp.example.com"}, []float64{7, 8, 9, 10, 15}},
		"SID":               {Filter{Principal: "s-1-5-21-7-b"}, []float64{7, 8, 9, 10, 15}},
		"a failed log-in":   {Filter{Principal: "alice", Type: "authentication"}, []float64{1, 2}},
		"session":           {Filter{Session: "01JD8Z3V9M4Q7T2X5B6C8D9Ebo", Type: "outcome"}, []float64{8}},
		"decision":          {Filter{Decision: "denied,would_deny"}, []float64{1, 5, 7, 8}},
		"incident":          {Filter{Incident: "i-9x3b1c"}, []float64{5}},
		"time":              {Filter{Since: at(5 * time.Second), Until: at(8 * time.Second)}, []float64{5, 6}},
		"role and database": {Filter{Role: "migrate_orders", Database: "orders", Type: "transaction"}, []float64{9}},
		"class":             {Filter{Class: "ddl, unknown"}, []float64{7, 8, 15}},
		"tag":               {Filter{Tag: "destructive"}, []float64{5, 7, 8}},
		"contains":          {Filter{Contains: "FROM ORDERS\n"}, []float64{4, 6}},
		"contains, kelvin":  {Filter{Contains: "m\u00dcLLER"}, []float64{4, 6}},
		"statements alone":  {Filter{Contains: "from orders\n", Type: "statement"}, []float64{4}},
		"SID alone":         {Filter{SID: "S-1-5-21-7-A", Type: "session.start"}, []float64{3}},
		"SID, no claim":     {Filter{SID: "alice"}, nil},
		"address":           {Filter{Source: "2001:db8::7", Type: "statement"}, []float64{7, 10, 15}},
		"network":           {Filter{Source: "10.20.0.0/16,192.0.2.9", Type: "connection,authentication"}, []float64{1, 2, 11}},
		"other network":     {Filter{Source: "10.21.0.0/16"}, nil},
		"rule":              {Filter{Rule: "orders-readers", Type: "statement"}, []float64{4, 5, 7, 10, 15}},
		"rule that decided": {Filter{Rule: "nothing-dropped"}, []float64{7, 8}},
		"object":            {Filter{Object: "ORDERS", Type: "statement"}, []float64{4, 5, 7, 10}},
		"object of schema":  {Filter{Object: "sales.*", Type: "statement"}, []float64{4, 5, 7, 10}},
		"object elsewhere":  {Filter{Object: "hr.*", Type: "statement"}, []float64{4, 5, 10}},
		"object, pattern":   {Filter{Object: "nix,*.ord?rs", Type: "statement"}, []float64{4, 5, 7, 10}},
		"object, whole":     {Filter{Object: "rder"}, nil},
		"SQLSTATE":          {Filter{SQLSTATE: "42703"}, []float64{7, 8}},
		"class of SQLSTATE": {Filter{SQLSTATE: "08,42", Tag: "destructive", Type: "statement"}, []float64{7}},
		"other SQLSTATE":    {Filter{SQLSTATE: "42501"}, nil},
		"outcomes":          {Filter{Type: "outcome"}, []float64{6, 8}},
		"trace":             {Filter{Trace: "5B00000000000000000000000000006A"}, []float64{10}},
		"other trace":       {Filter{Trace: strings.Repeat("0", 32)}, nil},
		"nothing":           {Filter{Principal: "mallory"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []float64
			for _, m := range decode(t, query(t, Options{Path: path, Filter: test.filter, Format: JSONL})) {
				got = append(got, m["sequence"].(float64)-before)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestFilterRefusesUnknownNames(t *testing.T) {
	for _, f := range []Filter{
		{Decision: "deny"},
		{Type: "statements"},
		{Class: "READ,WRIT"},
		{Tag: "x"},
		{Since: noon, Until: noon},
		{Source: "10.0.0.0/33"},
		{Source: "here"},
		{Object: `"a`},
		{Object: "a.b.c"},
		{Object: "."},
		{SQLSTATE: "425"},
		{SQLSTATE: "4*"},
		{Trace: "5b"},
		{Trace: strings.Repeat("x", 32)},
	} {
		if err := Query(t.Context(), &bytes.Buffer{}, Options{Path: t.TempDir(), Filter: f}); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestCat(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	var b bytes.Buffer
	if err := Cat(t.Context(), &b, Options{Path: path, Filter: Filter{Principal: "ignored"}}); err != nil {
		t.Fatal(err)
	}
	all := decode(t, b.String())
	all = slices.DeleteFunc(all, func(m map[string]any) bool { return m["type"] == "checkpoint" })
	if len(all) < 15 {
		t.Fatalf("%d lines", len(all))
	}
	all = all[len(all)-15:]
	for _, r := range b.String() {
		if r != '\n' && journal.Acts(r) {
			t.Fatalf("%U is not neutralised", r)
		}
	}
	if !strings.Contains(b.String(), "rule orders-readers") || all[6]["text"] != "ALTER TABLE orders DROP COLUMN note \x1b[2J\u202e; -- \x07" {
		t.Errorf("the text is %q", all[6]["text"])
	}
	last := all[14]
	if last["text"] != "SELEC 'x\ufffd'" || last["text_base64"] != "U0VMRUMgJ3j/Jw==" || last["form"] != "masked" {
		t.Errorf("%v", last)
	}
}

func TestCorruptionComesAfterWhatCouldBeRead(t *testing.T) {
	path, j := startJournal(t)
	before := float64(story(t, j))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, j.Stream(), "00000001.seg")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[bytes.LastIndex(content, []byte("SELEC 'x"))] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	var damage *journal.CorruptionError
	if err := Cat(t.Context(), &b, Options{Path: path}); !errors.As(err, &damage) || damage.File != file {
		t.Errorf("%v", err)
	}
	all := decode(t, b.String())
	if last := all[len(all)-1]; last["type"] != "session.end" || last["sequence"] != before+14 {
		t.Errorf("%v is the last before it", last)
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]time.Time{
		"24h": noon.Add(-24 * time.Hour), "90m": noon.Add(-90 * time.Minute), "7d": noon.AddDate(0, 0, -7),
		"2026-11-21T12:00:00Z": noon, "2026-11-21T13:00:00+01:00": noon, "2026-11-21 12:00": noon,
		"2026-11-21": noon.Add(-12 * time.Hour), "": {},
	} {
		if got, err := ParseTime(in, noon); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "-3h", "d", "12"} {
		if _, err := ParseTime(in, noon); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestFit(t *testing.T) {
	for _, test := range []struct {
		in   string
		room int
		want string
	}{
		{"SELECT\n\t 1", 20, "SELECT 1"},
		{"SELECT 1", 8, "SELECT 1"},
		{"SELECT 12", 8, "SELECT …"},
		{"张伟张伟", 5, "张伟…"},
		{"a\x1b]0;x\x07", 20, `a\x1b]0;x\x07`},
		{"\u202eabc\u200b", 20, `\u202eabc\u200b`},
		{"\x9b1m\xff", 20, `\x9b1m\xff`},
		{"\u009b", 20, `\x9b`},
		{strings.Repeat("x", 1<<20), 4, "xxx…"},
	} {
		if got := fit(test.in, test.room); got != test.want {
			t.Errorf("%.20q in %d: %q, want %q", test.in, test.room, got, test.want)
		}
	}
}

var _ audit.Recorder = (*journal.Journal)(nil)
