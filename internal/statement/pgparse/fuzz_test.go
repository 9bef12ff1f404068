package pgparse

import (
	"reflect"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

func seeds(f *testing.F) {
	f.Helper()
	_, pages := readForms(f)
	for _, p := range pages {
		for _, form := range p.forms {
			f.Add(form.sql)
		}
	}
	for _, s := range []string{
		"SELECT 'a''b' 'c'", "SELECT E'a\\'b'\n'c\\''", "SELECT U&'\\0041' UESCAPE '!'", "SELECT $a$b$a$ $1", "SELECT a$1, b$$c",
		"SELECT 1.5e10+.5-1e-3*0x1F/1_000", "SELECT 1.e5,1..2", "SELECT 'a' -- b\n'c'", "/* /* */ */ SELECT B'01' || X'ff'",
		"SELECT N'a', \"b\"\"c\", U&\"d\" /**/", "SELECT a<--b\nc", "SELECT @-'a', a/*b*/+c", "SELECT é", "SELECT 'a'--b\r'c'",
		"DO $$BEGIN x := 1; END$$", "ALTER ROLE a PASSWORD 'b'",
	} {
		f.Add(s)
	}
}

// The lexer finds the strings that PostgreSQL's own scanner finds, and hides
// its numbers.
func FuzzLexer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.IndexByte(text, 0) >= 0 {
			return
		}
		scan, err := pg.Scan(text)
		got, hidden := literals(text)
		if err != nil || got == nil {
			return
		}
		want := []span{}
		for _, token := range scan.Tokens {
			at := span{int(token.Start), int(token.End)}
			switch token.Token {
			case pg.Token_SCONST, pg.Token_USCONST, pg.Token_BCONST, pg.Token_XCONST:
				want = append(want, at)
			case pg.Token_FCONST, pg.Token_ICONST:
				if strings.Trim(hidden[at.start:at.end], "?") != "" {
					t.Fatalf("%q keeps a number at %v", text, at)
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\n\tgot  %v\n\twant %v", text, got, want)
		}
	})
}

// literals returns where the strings of a text stand, and the text with each
// byte of a literal replaced; nil where pg_query differs from PostgreSQL, see
// splits.
func literals(text string) (at []span, hidden string) {
	at, out := []span{}, []byte(text)
	for l := sqllex.New([]byte(text)); ; {
		t := l.Next()
		switch {
		case t.Kind == sqllex.End:
			return at, string(out)
		case t.Commented:
			return nil, ""
		case t.Kind.Text():
			at = append(at, span{t.Start, t.End})
		}
		if t.Kind.Literal() {
			copy(out[t.Start:t.End], strings.Repeat("?", t.End-t.Start))
		}
	}
}

// A judgement holds together, and survives its way from the worker.
func FuzzRead(f *testing.F) {
	seeds(f)
	bearable := confined(f)
	f.Fuzz(func(t *testing.T, text string) {
		if !bearable(text) {
			return
		}
		j := Read(text)
		if (j.Cause == statement.CauseNone) == (j.Class == statement.Unknown && j.Form == statement.Masked && len(j.Statements) == 1 && j.Statements[0].Command == "") {
			t.Fatalf("cause %q, class %s", j.Cause, j.Class)
		}
		for i := range j.Statements {
			s := &j.Statements[i]
			if j.Form == statement.Verbatim && !strings.Contains(text, s.Text) {
				t.Fatalf("%q is not in the text", s.Text)
			}
			if (s.Tags&tDestructive != 0) != (s.Destructive != "") {
				t.Fatalf("tags %s, phrase %q", s.Tags, s.Destructive)
			}
			if j.Cause == statement.CauseNone && (s.Command == "" || s.Class == 0) {
				t.Fatalf("command %q, class %s", s.Command, s.Class)
			}
		}
		got, err := statement.ParseJudgement(statement.AppendJudgement(nil, j, text), text)
		if err != nil || !reflect.DeepEqual(normal(got), normal(j)) {
			t.Fatalf("sent %+v\ngot %+v, %v", j, got, err)
		}
	})
}

// normal makes no difference between no statements and none.
func normal(j *statement.Judgement) statement.Judgement {
	out := *j
	if len(out.Statements) == 0 {
		out.Statements = nil
	}
	return out
}
