// Package sqllex splits SQL text into tokens by the rules of PostgreSQL's
// scanner (src/backend/parser/scan.l) with standard_conforming_strings on. It
// reads any bytes, valid SQL or not, in one pass, without allocating and
// without failing: what is not closed runs to the end of the text and says so.
package sqllex

// Kind is what a token is.
type Kind uint8

// The kinds of token. White space is skipped.
const (
	End        Kind = iota
	Comment         // -- to the end of the line, or /* … */ with nesting
	Word            // a keyword or an unquoted identifier
	Identifier      // "…" and U&"…"
	String          // '…', with its continuations on following lines
	Escape          // E'…', with its continuations
	Unicode         // U&'…', with its continuations
	Bits            // B'…' and X'…', with their continuations
	Dollar          // $tag$ … $tag$
	Number          // with whatever letters follow it directly, which PostgreSQL refuses
	Parameter       // $1
	Symbol          // an operator or one other byte
)

// Literal says whether the kind is a constant: a string or a number.
func (k Kind) Literal() bool { return k >= String && k <= Number }

// Text says whether the kind is a constant that is written between quotes.
func (k Kind) Text() bool { return k >= String && k <= Dollar }

// Token is one token: text[Start:End].
type Token struct {
	Kind       Kind
	Start, End int
	// Open is set where the closing quote, tag or */ is missing.
	Open bool
	// Backslash is set on a String, Unicode or Bits token that holds a backslash:
	// the token would mean something else, or end elsewhere, with
	// standard_conforming_strings off.
	Backslash bool
	// Commented is set where a comment stands between the token's segments.
	Commented bool
	// Shifts is set where such a backslash stands directly before a quote, so
	// that the token could end elsewhere.
	Shifts bool
}
