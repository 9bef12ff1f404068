package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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
	if err := Query(&b, o); err != nil {
		t.Fatal(err)
	}
	if warnings.Len() > 0 {
		t.Errorf("warnings: %s", &warnings)
	}
	return b.String()
}

const tableWide = `TIME (UTC)               WHO    FROM         ROLE@DATABASE          EVENT        VERDICT     OUTCOME              CLASS                WHAT
2026-11-21 12:00:04.936  alice  10.20.3.4    app_ro_orders@orders   SELECT       allowed     3 rows, 1.2 ms       READ                 SELECT * FROM orders WHERE customer = 'Müller 张伟'
2026-11-21 12:00:06.170  alice  10.20.3.4    app_ro_orders@orders   DELETE       DENIED      i-9X3B1C             WRITE destructive    DELETE FROM orders  ← lacks class WRITE, tag destructive
2026-11-21 12:00:08.638  bob    2001:db8::7  migrate_orders@orders  ALTER TABLE  WOULD DENY  ERROR 42703, 350 µs  DDL ddl,destructive  ALTER TABLE orders DROP COLUMN note \x1b[2J\u202e; -- \x07  ← lacks tag destructive, column "note" of relation "orders"…
2026-11-21 12:00:12.340  bob    2001:db8::7  migrate_orders@orders  INSERT       REFUSED     i-0000AA             WRITE                INSERT INTO orders VALUES (1, 'x')  ← journal full
2026-11-21 12:00:18.510  bob    2001:db8::7  migrate_orders@orders  (unread)     allowed                          UNKNOWN              SELEC 'x\xff'  ← syntax
`

const tableNarrow = `UTC           WHO                   FROM       ROLE           EVENT            VERDICT  OUTCOME         WHAT
── 2026-11-21 ──
12:00:01.234  CORP\alice (claimed)  10.20.3.4  -              log-in password  DENIED   i-7Q2M4K        wrong password, LDAP 49, data 52e
12:00:02.468  alice                 10.20.3.4  app_ro_orders  log-in password  allowed
12:00:03.702  alice                 10.20.3.4  app_ro_orders  session start    allowed                  rule orders-readers, by group APP-Order…
12:00:04.936  alice                 10.20.3.4  app_ro_orders  SELECT           allowed  3 rows, 1.2 ms  SELECT * FROM orders WHERE customer = '…
12:00:06.170  alice                 10.20.3.4  app_ro_orders  DELETE           DENIED   i-9X3B1C        DELETE FROM orders  ← lacks class WRITE…
12:00:16.042  alice                 10.20.3.4  app_ro_orders  revocation       REVOKED                  account disabled
12:00:17.276  alice                 10.20.3.4  app_ro_orders  session end               3m0s            revoked
`

func TestTable(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"wide":   {Options{Filter: Filter{Type: "statement"}}, tableWide},
		"narrow": {Options{Filter: Filter{Principal: "ALICE"}, Width: 140}, tableNarrow},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.Path = path
			if got := query(t, test.o); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
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
	story(t, j)
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for name, test := range map[string]struct {
		filter Filter
		want   []float64 // sequences
	}{
		"account":           {Filter{Principal: "Bob"}, []float64{8, 9, 10, 11, 16}},
		"UPN":               {Filter{Principal: "BOB@corp.example.com"}, []float64{8, 9, 10, 11, 16}},
		"SID":               {Filter{Principal: "s-1-5-21-7-b"}, []float64{8, 9, 10, 11, 16}},
		"a failed log-in":   {Filter{Principal: "alice", Type: "authentication"}, []float64{2, 3}},
		"session":           {Filter{Session: "01JD8Z3V9M4Q7T2X5B6C8D9Ebo", Type: "outcome"}, []float64{9}},
		"decision":          {Filter{Decision: "denied,would_deny"}, []float64{2, 6, 8}},
		"incident":          {Filter{Incident: "i-9x3b1c"}, []float64{6}},
		"time":              {Filter{Since: at(5 * time.Second), Until: at(8 * time.Second)}, []float64{6, 7}},
		"role and database": {Filter{Role: "migrate_orders", Database: "orders", Type: "transaction"}, []float64{10}},
		"class":             {Filter{Class: "ddl, unknown"}, []float64{8, 16}},
		"tag":               {Filter{Tag: "destructive"}, []float64{6, 8}},
		"contains":          {Filter{Contains: "FROM ORDERS\n"}, []float64{5}},
		"nothing":           {Filter{Principal: "mallory"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []float64
			for _, m := range decode(t, query(t, Options{Path: path, Filter: test.filter, Format: JSONL})) {
				got = append(got, m["sequence"].(float64))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestFilterRefusesUnknownNames(t *testing.T) {
	for _, f := range []Filter{
		{Decision: "deny"}, {Type: "statements"}, {Class: "READ,WRIT"}, {Tag: "x"}, {Since: noon, Until: noon},
	} {
		if err := Query(&bytes.Buffer{}, Options{Path: t.TempDir(), Filter: f}); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestCat(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	var b bytes.Buffer
	if err := Cat(&b, Options{Path: path, Filter: Filter{Principal: "ignored"}}); err != nil {
		t.Fatal(err)
	}
	all := decode(t, b.String())
	if len(all) != 16 {
		t.Fatalf("%d lines", len(all))
	}
	for _, r := range b.String() {
		if r != '\n' && journal.Acts(r) {
			t.Fatalf("%U is not neutralised", r)
		}
	}
	if !strings.Contains(b.String(), "rule orders-readers") || all[7]["text"] != "ALTER TABLE orders DROP COLUMN note \x1b[2J\u202e; -- \x07" {
		t.Errorf("the text is %q", all[7]["text"])
	}
	last := all[15]
	if last["text"] != "SELEC 'x\ufffd'" || last["text_base64"] != "U0VMRUMgJ3j/Jw==" || last["form"] != "masked" {
		t.Errorf("%v", last)
	}
}

func TestCorruptionComesAfterWhatCouldBeRead(t *testing.T) {
	path, j := startJournal(t)
	story(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, j.Stream(), "00000001.seg")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-200] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	var damage *journal.CorruptionError
	if err := Cat(&b, Options{Path: path}); !errors.As(err, &damage) || damage.File != file {
		t.Errorf("%v", err)
	}
	if n := len(decode(t, b.String())); n != 15 {
		t.Errorf("%d records before it", n)
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
