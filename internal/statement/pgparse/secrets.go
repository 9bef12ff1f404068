package pgparse

import (
	"bytes"
	"regexp"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// secretArguments redacts the arguments of functions that are given secrets:
// connection strings, the passwords and keys of pgcrypto, and what an argument's name says.
func (w *walker) secretArguments(name string, f *pg.FuncCall) {
	for _, a := range f.Args {
		if n := a.GetNamedArgExpr(); n != nil && statement.SecretName(n.Name) {
			w.st.Secrets = true
			w.secretNode(n.Arg)
		}
	}
	switch {
	case !statement.SecretFunction(name):
	case strings.HasPrefix(name, "dblink_connect"):
		w.secretFrom(f, 0)
	case strings.HasPrefix(name, "dblink"):
		if len(f.Args) > 0 && connection(f.Args[0]) {
			w.secretNode(f.Args[0])
		}
	case name == "crypt", statement.SecretFunctionName(name):
		w.secretFrom(f, 0)
	default:
		w.secretFrom(f, 1)
	}
}

func (w *walker) secretFrom(f *pg.FuncCall, first int) {
	for _, a := range f.Args[min(first, len(f.Args)):] {
		w.secretNode(a)
	}
}

var connectionString = regexp.MustCompile(`^\s*\w+\s*=|://`)

// connection tells if a function's argument is a connection string, or could
// become one.
func connection(n *pg.Node) bool {
	v, ok := constant(n)
	return !ok || connectionString.MatchString(v.text)
}

// secretNode redacts every constant in an expression.
func (w *walker) secretNode(n *pg.Node) {
	if n != nil {
		w.strings(n)
	}
}

func (w *walker) strings(m proto.Message) {
	if n, ok := m.(*pg.Node); ok {
		m = message(n)
	}
	if m == nil {
		return
	}
	if c, ok := m.(*pg.A_Const); ok {
		if !c.Isnull && c.GetBoolval() == nil {
			w.secretConstant(int(c.Location))
		}
		return
	}
	if f, ok := m.(*pg.FuncCall); ok {
		if _, name := split(words(f.Funcname)); name == "gen_salt" {
			return // its argument names a method
		}
	}
	r := m.ProtoReflect()
	for _, f := range parts(r.Descriptor()) {
		switch {
		case !r.Has(f):
		case f.IsList():
			for i, list := 0, r.Get(f).List(); i < list.Len(); i++ {
				w.strings(list.Get(i).Message().Interface())
			}
		default:
			w.strings(r.Get(f).Message().Interface())
		}
	}
}

// secretConstant redacts the constant at a place: what SET is given may be a word, or a
// number.
func (r *reader) secretConstant(at int) {
	if at >= 0 && at < len(r.raw) {
		l := sqllex.At(r.raw, at)
		t := l.Next()
		if t.Kind == sqllex.Symbol { // a sign
			t = l.Next()
		}
		quoted := t.End < len(r.raw) && r.raw[t.End] == '\''
		if t.Kind == sqllex.Number || (t.Kind == sqllex.Word || t.Kind == sqllex.Identifier) && !quoted {
			r.secrets = append(r.secrets, span{t.Start, t.End})
			return
		}
	}
	r.secretAt(at)
}

// secretAt redacts the literal at a place in the text, or the one that follows
// the name which stands there. Where there is none, nothing of the text is kept
// but its mask.
func (r *reader) secretAt(at int) {
	if at < 0 || at >= len(r.raw) {
		r.lost = true
		return
	}
	l := sqllex.At(r.raw, at)
	for range 4 { // a name, TO or =, E or U& are the literal's own
		t := l.Next()
		for t.Kind == sqllex.Comment {
			t = l.Next()
		}
		if t.Kind.Text() {
			r.secrets = append(r.secrets, span{t.Start, t.End})
			return
		}
	}
	r.lost = true
}

// program redacts what a COPY … PROGRAM runs, if it looks as if a secret were
// in it.
func (w *walker) program(command string) {
	if !tellingProgram.MatchString(command) {
		return
	}
	l, seen := sqllex.At(w.raw[:w.at.end], w.at.start), false
	for {
		switch t := l.Next(); {
		case t.Kind == sqllex.End:
			w.lost = true
			return
		case t.Kind == sqllex.Word && bytes.EqualFold(w.raw[t.Start:t.End], []byte("program")):
			seen = true
		case t.Kind.Text() && seen:
			w.secrets = append(w.secrets, span{t.Start, t.End})
			return
		}
	}
}

// tellingProgram matches assignments, options and URLs that carry secrets.
var tellingProgram = regexp.MustCompile(`(?i)=|pass|pwd|secret|token|key|credential|auth|bearer|cookie|://\S*@|(^|\s)-[pu]`)

// suspicious redacts the literals and comments that give a secret away, wherever they stand, and all
// of them where one is still to be put together with a password.
func (r *reader) suspicious() {
	var all []span
	unfinished := false
	for l := sqllex.New(r.raw); ; {
		t := l.Next()
		if t.Kind == sqllex.End {
			break
		}
		if t.Kind == sqllex.Comment && statement.Telling(r.raw[t.Start:t.End]) {
			r.secrets = append(r.secrets, span{t.Start, t.End})
		}
		if !t.Kind.Text() {
			continue
		}
		content := t.Content(r.raw)
		if tells(t.Kind, content) {
			r.secrets = append(r.secrets, span{t.Start, t.End})
		}
		unfinished = unfinished || statement.LacksPassword(content)
		all = append(all, span{t.Start, t.End})
	}
	if unfinished {
		r.secrets = append(r.secrets, all...)
	}
}

// tells says if a literal gives a secret away: in a body of several statements only
// a password that is written out does.
func tells(kind sqllex.Kind, literal []byte) bool {
	if kind == sqllex.Dollar {
		return statement.TellingBody(literal)
	}
	return statement.Telling(literal)
}

// redacted stands for a literal that is a secret, and redactedComment for a comment.
const (
	redacted        = "'<redacted>'"
	redactedComment = "/*<redacted>*/"
)

// redact returns a part of the text with its secrets replaced.
func (r *reader) redact(at span) string {
	if len(r.secrets) == 0 {
		return r.text[at.start:at.end]
	}
	var out strings.Builder
	kept := at.start
	for _, s := range r.secrets {
		if s.start < kept || s.end > at.end {
			continue
		}
		out.WriteString(r.text[kept:s.start])
		out.WriteString(either(r.raw[s.start] == '-' || r.raw[s.start] == '/', redactedComment, redacted))
		kept = s.end
	}
	out.WriteString(r.text[kept:at.end])
	return out.String()
}
