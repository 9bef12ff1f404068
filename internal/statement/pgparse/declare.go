package pgparse

import (
	"strings"

	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// defaults reads the initial values of a PL/pgSQL body's DECLARE sections, and
// tells if there is a secret in them: pg_query's tree has those of scalars, but
// not those of records.
func (w *walker) defaults(body []byte) bool {
	secret := false
	for l := sqllex.New(body); ; {
		t := l.Next()
		if t.Kind == sqllex.End {
			return secret
		}
		if isWord(body, t, "declare") {
			secret = w.declarations(&l, body) || secret
		}
	}
}

// declarations reads one DECLARE section, up to BEGIN. That is reserved, so that no
// variable is called so, but an expression may be. One that has no BEGIN is something
// else.
func (w *walker) declarations(l *sqllex.Lexer, body []byte) bool {
	secret := false
	for d := (declaration{value: -1}); ; {
		t := l.Next()
		switch {
		case t.Kind == sqllex.End:
			w.unreadable()
			return true
		case d.tokens == 0 && isWord(body, t, "begin"):
			return secret
		case d.tokens == 0 && isWord(body, t, "declare"):
			continue
		}
		if d.add(body, t) {
			continue
		}
		if d.value >= 0 && !d.cursor {
			secret = w.embedded("SELECT "+string(body[d.value:t.Start]), true) || secret
		}
		d = declaration{value: -1}
	}
}

// declaration is one variable's, as far as it was read.
type declaration struct {
	tokens int
	depth  int  // of brackets
	value  int  // where the initial value begins, -1 before it
	scroll int  // how many of the tokens behind the name are NO and SCROLL
	cursor bool // its query is in pg_query's tree
}

// add takes the declaration's next token, and tells if it is not the end.
func (d *declaration) add(body []byte, t sqllex.Token) bool {
	token := string(body[t.Start:t.End])
	d.tokens++
	if behind := d.tokens - 2; behind >= 0 && behind == d.scroll {
		switch {
		case isWord(body, t, "no"), isWord(body, t, "scroll"):
			d.scroll++
		case isWord(body, t, "cursor"):
			d.cursor = true
		}
	}
	switch {
	case token == "(" || token == "[":
		d.depth++
	case token == ")" || token == "]":
		d.depth--
	case d.depth != 0:
	case token == ";":
		return false
	case d.value < 0 && (token == ":=" || token == "=" || isWord(body, t, "default")):
		d.value = t.End
	}
	return true
}

func isWord(text []byte, t sqllex.Token, word string) bool {
	return t.Kind == sqllex.Word && strings.EqualFold(string(text[t.Start:t.End]), word)
}
