package statement

import (
	"bytes"

	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// hider says what a mask hides beside literals, for a secret may stand outside of one:
// what clings to a literal from behind, where a quote in it was taken for its end, and
// what the word PASSWORD has behind it, up to white space, where a quote was forgotten.
type hider struct {
	end    int64 // of the token before
	run    bool  // it is hidden, and so is what clings to it
	quoted bool  // it is a literal between quotes
	secret bool  // PASSWORD stands before, with no more than a sign of equality between
}

// next tells of a token that is no comment whether it is hidden, and whether the mark of
// the one before stands for it as well. text is the token's, or the beginning of it.
func (h *hider) next(kind sqllex.Kind, open bool, start, end int64, text []byte) (hide, joined bool) {
	clings := start == h.end
	was := *h
	*h = hider{end: end}
	switch {
	case kind.Literal() || open:
		h.run, h.quoted = was.run && clings, kind != sqllex.Number && kind != sqllex.Dollar
		return true, h.run
	case clings && was.run && !endsRun(kind, text), clings && was.quoted && kind != sqllex.Symbol && kind != sqllex.Parameter:
		h.run = true
		return true, true
	case was.secret && kind == sqllex.Symbol && equates(text):
		h.secret = true
	case was.secret && !endsRun(kind, text):
		h.run = true
		return true, false
	default:
		h.secret = kind == sqllex.Word && bytes.EqualFold(text, []byte("password"))
	}
	return false, false
}

// longestSymbol is how much of a token next looks at.
const longestSymbol = 64

// endsRun tells if a token is none of a secret: what separates, or a mark.
func endsRun(kind sqllex.Kind, text []byte) bool {
	return kind == sqllex.Symbol && (bytes.ContainsAny(text, ",;().[]") || bytes.IndexByte(text, '?') >= 0)
}

func equates(text []byte) bool {
	switch string(text) {
	case "=", ":", ":=", "=>":
		return true
	}
	return false
}
