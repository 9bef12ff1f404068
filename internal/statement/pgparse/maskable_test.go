package pgparse

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// with returns a text with other literals and comments in its holes, of the same
// kinds.
func with(text string, holes []statement.Hole, integer, decimal, literal, comment string) string {
	var out strings.Builder
	kept := 0
	for _, h := range holes {
		out.WriteString(text[kept:h.Start])
		switch old := text[h.Start:h.End]; {
		case h.Comment && strings.HasPrefix(old, "--"):
			out.WriteString("--" + comment)
		case h.Comment:
			out.WriteString("/*" + comment + "*/")
		case old[0] == '\'':
			out.WriteString("'" + literal + "'")
		case strings.Contains(old, "."):
			out.WriteString(decimal)
		default:
			out.WriteString(integer)
		}
		kept = h.End
	}
	return out.String() + text[kept:]
}

// A text that is maskable is judged like any other of its shape: class by the
// cache is class by the parser.
func FuzzMaskable(f *testing.F) {
	_, pages := readForms(f)
	for _, p := range pages {
		for _, form := range p.forms {
			f.Add(form.sql, 1, "x")
		}
	}
	for _, where := range append(append([]string{}, everyRow...), someRows...) {
		f.Add("DELETE FROM t WHERE "+where, 0, "%")
		f.Add("UPDATE t SET a = -1, b = 'x' WHERE "+where+" AND c = 1.5 -- y", 5, "true")
	}
	for _, e := range evasions {
		f.Add(e.text, 0, "role")
	}
	for _, sum := range []string{"0+'a'", "0*-'a'", "'a'-'1'", "0-(2*'a')", "('a'||'')::int", "+'a'"} {
		f.Add("DELETE FROM t WHERE length(b) >= "+sum, 0, "0")
		f.Add("DELETE FROM t WHERE "+sum+" = 0", 0, "0")
		f.Add("DELETE FROM t WHERE a = 5 AND ("+sum+" IS NULL OR "+sum+")", 0, "0")
		f.Add("DELETE FROM t WHERE EXISTS (SELECT 1 FROM t LIMIT "+sum+" OFFSET "+sum+")", 0, "0")
	}
	bearable := confined(f)
	f.Fuzz(func(t *testing.T, text string, n int, literal string) {
		if !bearable(text) {
			return
		}
		j := Read(text)
		if !j.Maskable {
			return
		}
		holes, ok := statement.Holes([]byte(text))
		if !ok {
			t.Fatalf("%q is maskable and has no shape", text)
		}
		digits := "00000000" + string(rune('0'+(n%10+10)%10))
		literal = strings.ReplaceAll(literal, "'", "''")
		for _, integer := range []string{"0", "1", "999999999", digits} {
			for _, s := range []string{literal, "", "%", "t", "role"} {
				other := with(text, holes, integer, "0.0", s, s)
				again, ok := statement.Holes([]byte(other))
				if !ok || len(again) != len(holes) || strings.IndexByte(other, 0) >= 0 || !utf8.ValidString(other) || !sameShape(text, holes, other, again) {
					continue // a literal that is not masked, or a comment that ends elsewhere, or what no shape is looked up for
				}
				got := Read(other)
				if !reflect.DeepEqual(untold(got), untold(j)) {
					t.Fatalf("%q\n\t%+v\n%q\n\t%+v", text, untold(j), other, untold(got))
				}
			}
		}
	})
}

// sameShape tells if two texts are alike outside of their holes, and these are of
// the same kinds.
func sameShape(a string, x []statement.Hole, b string, y []statement.Hole) bool {
	i, k := 0, 0
	for n := range x {
		if a[i:x[n].Start] != b[k:y[n].Start] || x[n].Comment != y[n].Comment || kindOfHole(a[x[n].Start:x[n].End]) != kindOfHole(b[y[n].Start:y[n].End]) {
			return false
		}
		i, k = x[n].End, y[n].End
	}
	return a[i:] == b[k:]
}

func kindOfHole(s string) int {
	switch {
	case s[0] == '\'':
		return 1
	case strings.Contains(s, "."):
		return 2
	}
	return 3
}

// untold is a judgement without its texts.
func untold(j *statement.Judgement) statement.Judgement {
	out := *j
	out.Statements = append([]statement.Statement(nil), j.Statements...)
	for i := range out.Statements {
		out.Statements[i].Text = ""
	}
	return out
}
