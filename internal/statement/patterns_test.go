package statement

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func patterns(tb testing.TB, list ...Pattern) *Patterns {
	tb.Helper()
	p, err := NewPatterns(list)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

var card = Pattern{"card", `\b\d{4}( ?\d{4}){3}\b`, "<card>"}

func TestPatternsRedact(t *testing.T) {
	p := patterns(t, card, Pattern{"staff", `(?i)(emp)-(\d+)`, "E"}, Pattern{"quoted", `\Qa.b`, ""})
	tests := []struct{ text, want string }{
		{"SELECT 1", "SELECT 1"},
		{"SELECT '4111 1111 1111 1111', 'EMP-7'", "SELECT '<card>', 'E'"},
		{"4111111111111111 a.b axb", "<card>  axb"},
		{"54111111111111111", "54111111111111111"},
		{"é emp-1é", "é Eé"},
	}
	for _, tt := range tests {
		got, found := p.Redact(tt.text)
		if got != tt.want || (found == Redacted) != (got != tt.text) || (found == Redacted) != p.Match([]byte(tt.text)) {
			t.Errorf("%q became %q, %v", tt.text, got, found)
		}
	}
	if got, found := (*Patterns)(nil).Redact("x"); got != "x" || found != Verbatim {
		t.Errorf("no patterns made %q", got)
	}
	// With the race detector a pool drops what it is given now and then: of some thousand
	// runs the average is below one.
	if n := testing.AllocsPerRun(2000, func() { p.Redact("SELECT a FROM t WHERE b = 'c' AND d = 4711") }); n != 0 {
		t.Errorf("%v allocations where nothing is found", n)
	}
}

func TestPatternsAreBounded(t *testing.T) {
	for _, expression := range []string{`x*`, `\b`, ``, `a|b?`, `(x`, strings.Repeat("x", maxExpression+1), `[a-z]{1,1000}[0-9]{1,1000}[x-z]{1,1000}`} {
		if err := (Pattern{"p", expression, ""}).Validate(); err == nil {
			t.Errorf("%.40q passes", expression)
		}
	}
	many := make([]Pattern, MaxPatterns+1)
	for i := range many {
		many[i] = card
	}
	if _, err := NewPatterns(many); err == nil {
		t.Errorf("%d patterns pass", len(many))
	}
	large := Pattern{"p", `[a-z]{900}[0-9]{900}`, ""}
	if _, err := NewPatterns([]Pattern{large}); err != nil {
		t.Error(err)
	}
	if _, err := NewPatterns([]Pattern{large, large, large}); err == nil {
		t.Error("patterns that are too large together pass")
	}
}

// What is written in pieces is redacted as a whole is.
func TestPatternWriter(t *testing.T) {
	p := patterns(t, card)
	text := strings.Repeat(strings.Repeat("é 4111 1111 1111 1111 x ", 50)+strings.Repeat("-", 777), 15)
	want, _ := p.Redact(text)
	for _, most := range []int{1, 7, 4 << 10, 1 << 20} {
		var out bytes.Buffer
		w := p.Writer(&out)
		for rest := text; rest != ""; {
			n := min(most, len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("in pieces of %d bytes: %d bytes, not %d", most, out.Len(), len(want))
		}
	}
	broken := errors.New("broken")
	w := p.Writer(failing{broken})
	_, err := w.Write([]byte(text))
	if !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
}

// A pattern that looks at all that follows before it is sure costs no more than
// others: what matches too often is masked.
func TestPatternsCostIsBounded(t *testing.T) {
	p := patterns(t, Pattern{"a", "a(.*z)?", "-"})
	text := "SELECT '" + strings.Repeat("a", 4<<20) + "' FROM b"
	if got, form := p.Redact(text); form != Masked || got != "SELECT ? FROM b" {
		t.Errorf("%.40q, %s", got, form)
	}
	var out bytes.Buffer
	w := p.Writer(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "SELECT '"+strings.Repeat("-", maxMatches)+"?" {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
}

// A judgement whose text a pattern changes says so, and keeps its fingerprint where
// that cannot tell what it was.
func TestSearch(t *testing.T) {
	p := patterns(t, card)
	tests := []struct {
		text        string
		maskable    bool
		form        Form
		fingerprint bool
	}{
		{"SELECT '4111 1111 1111 1111'", true, Redacted, true},
		{"SELECT 1 /* 4111 1111 1111 1111 */", true, Redacted, true},
		{`SELECT "4111 1111 1111 1111", 'x'`, true, Redacted, false},
		{"COMMENT ON TABLE t IS '4111 1111 1111 1111'", false, Redacted, false},
		{"SELECT 4711", true, Verbatim, true},
	}
	for _, tt := range tests {
		j := &Judgement{Maskable: tt.maskable, Statements: []Statement{{Text: tt.text, Fingerprint: 7, Digest: [32]byte{1}}}}
		j.search(p)
		s := &j.Statements[0]
		if found := tt.form != Verbatim; j.Form != tt.form || s.Hides != found || strings.Contains(s.Text, "4111") || (s.Fingerprint != 0) != tt.fingerprint ||
			s.Searched != p || (s.Digest == [32]byte{}) != found {
			t.Errorf("%s: form %s, %+v", tt.text, j.Form, s)
		}
	}
}
