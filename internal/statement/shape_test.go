package statement

import (
	"strings"
	"testing"
)

func shapeOf(text string) string {
	var s shape
	if !maskable([]byte(text), UTF8) || !s.read([]byte(text)) {
		return ""
	}
	return strings.NewReplacer("\x00", "", "\x01", "<i>", "\x02", "<d>", "\x03", "<s>", "\x04", "<c>").Replace(string(s.key))
}

func TestShape(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1, -2, 3.5, 'a''b', '', 'é' -- x": "SELECT <i>, -<i>, <d>, <s>, <s>, <s> <c>",
		"SELECT/* ' */a1 FROM \"t 1\" LIMIT 5":    "SELECT<c>a1 FROM \"t 1\" LIMIT <i>",
		"SELECT 1000000000, 0x1f, 1e5, .5, 5., 1": "SELECT 1000000000, 0x1f, 1e5, .5, 5., <i>",
		"SELECT $1":             "", // nothing to mask
		"SELECT E'a', 1":        "",
		"SELECT U&'a', 1":       "",
		"SELECT B'1', 1":        "",
		"SELECT $$a$$, 1":       "",
		`SELECT 'a\b', 1`:       "",
		"SELECT 'a'\n'b', 1":    "",
		"SELECT 'a' -- c\n 'b'": "",
		"SELECT 'a":             "",
		"SELECT 1 /* a":         "",
		"SELECT 1, \"a":         "",
		`SELECT 1 -- \`:         "",
		"SELECT 'my PASSword'":  "",
		"SELECT 'http://x'":     "",
		"SELECT '-Infinity'":    "",
		"SELECT ' infinity '":   "",
		"SELECT \x01":           "",
		"SELECT 1 -- \x03":      "",
		"SELECT '\xff'":         "",
		"SELECT '" + strings.Repeat("a", maxCachedText) + "'":           "",
		"SELECT 1" + strings.Repeat(",1", maxHoles):                     "",
		"INSERT INTO t VALUES (1, 'a'),\n (2, 'b'), (1.25, 'password')": "",
	} {
		if got := shapeOf(text); got != want {
			t.Errorf("%q\n\t%q, want %q", text, got, want)
		}
	}
}

// A place of one text is found again in another one of its shape.
func TestPlaces(t *testing.T) {
	var s shape
	first := "SELECT 1 ; /* a */ SELECT 'b', 22;\nSELECT x"
	if !s.read([]byte(first)) {
		t.Fatal("no shape")
	}
	j := &Judgement{Statements: []Statement{{Text: "SELECT 1"}, {Text: "/* a */ SELECT 'b', 22"}, {Text: "SELECT x"}}}
	template, ok := newTemplate(first, j, s.holes)
	if !ok {
		t.Fatal("no template")
	}
	second := "SELECT 12345 ; /**/ SELECT '', 2;\nSELECT x"
	if !s.read([]byte(second)) {
		t.Fatal("no shape")
	}
	var a arena
	filled := template.fill(&a, []byte(second), s.holes)
	for i, want := range []string{"SELECT 12345", "/**/ SELECT '', 2", "SELECT x"} {
		if got := filled.Statements[i].Text; got != want {
			t.Errorf("statement %d is %q, want %q", i, got, want)
		}
	}
	if j.Statements[0].Text != "SELECT 1" {
		t.Error("the template has changed")
	}
}

// Pieces of an arena are given out once.
func TestArena(t *testing.T) {
	var a arena
	seen := map[*Judgement]bool{}
	var texts []string
	for i := range 500 {
		text := strings.Repeat(string(rune('a'+i%26)), 1+i%1500)
		texts = append(texts, a.text([]byte(text)))
		j := a.judgement()
		if seen[j] {
			t.Fatal("given out twice")
		}
		seen[j] = true
		if s := a.statements(1 + i%20); len(s) != 1+i%20 || s[0].Text != "" {
			t.Fatalf("%d statements", len(s))
		} else {
			s[0].Text = text
		}
	}
	for i, text := range texts {
		if text != strings.Repeat(string(rune('a'+i%26)), 1+i%1500) {
			t.Fatalf("text %d has changed", i)
		}
	}
}
