package sqllex

import "bytes"

// Lexer reads tokens off a text. Its zero value reads an empty text.
type Lexer struct {
	text []byte
	pos  int
}

// New returns a lexer at the beginning of text, which it only reads.
func New(text []byte) Lexer { return Lexer{text: text} }

// At returns a lexer of text that begins at a byte offset, where a token begins.
func At(text []byte, offset int) Lexer {
	return Lexer{text: text, pos: min(max(offset, 0), len(text))}
}

// Next returns the next token; at the end of the text one of kind End.
func (l *Lexer) Next() Token {
	i := l.pos
	for i < len(l.text) && isSpace(l.text[i]) {
		i++
	}
	l.pos = i
	t := Token{Start: i}
	if l.pos >= len(l.text) {
		t.End = l.pos
		return t
	}
	l.scan(&t)
	t.End = l.pos
	return t
}

// scan sets the token's kind and moves behind it.
func (l *Lexer) scan(t *Token) {
	c := l.text[l.pos]
	switch {
	case isIdentStart(c):
		l.word(t)
	case c == '-' && l.peek(1) == '-':
		t.Kind = Comment
		l.line()
	case c == '/' && l.peek(1) == '*':
		t.Kind = Comment
		t.Open = l.block()
	case c == '\'':
		t.Kind = String
		l.quoted(t, 1)
	case c == '"':
		t.Kind = Identifier
		l.identifier(t, 1)
	case c == '$':
		l.dollar(t)
	case isDigit(c), c == '.' && isDigit(l.peek(1)):
		t.Kind = Number
		l.number()
	default:
		t.Kind = Symbol
		l.symbol()
	}
}

// peek returns the byte n behind the position, 0 beyond the end.
func (l *Lexer) peek(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// line moves behind a -- comment: to the next CR or LF.
func (l *Lexer) line() {
	if i := bytes.IndexAny(l.text[l.pos:], "\r\n"); i >= 0 {
		l.pos += i
		return
	}
	l.pos = len(l.text)
}

// block moves behind a /* comment, which nests, and tells if it was left open.
func (l *Lexer) block() bool {
	depth := 0
	for l.pos < len(l.text) {
		switch {
		case l.text[l.pos] == '/' && l.peek(1) == '*':
			depth++
			l.pos += 2
		case l.text[l.pos] == '*' && l.peek(1) == '/':
			depth--
			l.pos += 2
			if depth == 0 {
				return false
			}
		default:
			l.pos++
		}
	}
	return true
}

// word moves behind an unquoted identifier, or behind the literal that its
// first letter introduces.
func (l *Lexer) word(t *Token) {
	c, next := l.text[l.pos]|0x20, l.peek(1)
	switch {
	case c == 'e' && next == '\'':
		t.Kind = Escape
		l.quoted(t, 2)
	case (c == 'b' || c == 'x') && next == '\'':
		t.Kind = Bits
		l.quoted(t, 2)
	case c == 'u' && next == '&' && l.peek(2) == '\'':
		t.Kind = Unicode
		l.quoted(t, 3)
	case c == 'u' && next == '&' && l.peek(2) == '"':
		t.Kind = Identifier
		l.identifier(t, 3)
	default:
		t.Kind = Word
		i, text := l.pos, l.text
		for i < len(text) && isIdentPart(text[i]) {
			i++
		}
		l.pos = i
	}
}

// identifier moves behind a quoted identifier whose opening is n bytes long.
func (l *Lexer) identifier(t *Token, n int) {
	l.pos += n
	for l.pos < len(l.text) {
		if l.text[l.pos] != '"' {
			l.pos++
			continue
		}
		if l.peek(1) != '"' {
			l.pos++
			return
		}
		l.pos += 2
	}
	t.Open = true
}

// number moves behind a number and what letters, digits and underscores follow
// it directly. The dots of a range (1..10) do not belong to it.
func (l *Lexer) number() {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch {
		case c == '.' && l.peek(1) == '.':
			return
		case (c == '+' || c == '-') && l.text[l.pos-1]|0x20 == 'e' && isDigit(l.peek(1)):
		case c == '.' || isDigit(c) || isIdentStart(c):
		default:
			return
		}
		l.pos++
	}
}

// symbol moves behind an operator, which a comment ends, or one other byte.
func (l *Lexer) symbol() {
	if !isOperator(l.text[l.pos]) {
		if two := l.peek(1); l.text[l.pos] == ':' && two == '=' || l.text[l.pos] == '.' && two == '.' {
			l.pos++
		}
		l.pos++
		return
	}
	l.pos++
	for l.pos < len(l.text) && isOperator(l.text[l.pos]) {
		next := l.peek(1)
		if c := l.text[l.pos]; c == '-' && next == '-' || c == '/' && next == '*' {
			return
		}
		l.pos++
	}
}

// What a byte can be, as bits: a table is quicker than comparisons.
const (
	space = 1 << iota
	digit
	identStart
	identPart
	operator
)

var bytesAre = func() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		if c == ' ' || c >= '\t' && c <= '\r' {
			t[i] |= space
		}
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80 {
			t[i] |= identStart | identPart
		}
		if c >= '0' && c <= '9' {
			t[i] |= digit | identPart
		}
		if c == '$' {
			t[i] |= identPart
		}
		if bytes.IndexByte([]byte("~!@#^&|`?+-*/%<>="), c) >= 0 {
			t[i] |= operator
		}
	}
	return t
}()

func isSpace(c byte) bool      { return bytesAre[c]&space != 0 }
func isDigit(c byte) bool      { return bytesAre[c]&digit != 0 }
func isIdentStart(c byte) bool { return bytesAre[c]&identStart != 0 }
func isIdentPart(c byte) bool  { return bytesAre[c]&identPart != 0 }
func isOperator(c byte) bool   { return bytesAre[c]&operator != 0 }
