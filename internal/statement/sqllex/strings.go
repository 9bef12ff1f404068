package sqllex

import "bytes"

// quoted moves behind a string literal whose opening is n bytes long, with the
// segments that continue it on following lines (scan.l, quotecontinue).
func (l *Lexer) quoted(t *Token, n int) {
	l.pos += n
	for {
		if !l.segment(t) {
			t.Open = true
			return
		}
		if !l.continues(t) {
			return
		}
	}
}

// segment moves behind the closing quote of one segment, and tells if there
// was one.
func (l *Lexer) segment(t *Token) bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '\\' && t.Kind == Escape:
			l.pos = min(l.pos+2, len(l.text))
		case c == '\\':
			t.Backslash = true
			t.Shifts = t.Shifts || l.peek(1) == '\''
			l.pos++
		case c == '\'' && l.peek(1) == '\'' && t.Kind != Bits:
			l.pos += 2
		case c == '\'':
			l.pos++
			return true
		default:
			l.pos++
		}
	}
	return false
}

// continues moves behind the quote that opens a further segment, if white space
// with a line end, and nothing else but -- comments, stands before one.
func (l *Lexer) continues(t *Token) bool {
	i, lineEnd, comment := l.pos, false, false
	for i < len(l.text) {
		switch c := l.text[i]; {
		case c == '\n' || c == '\r':
			lineEnd = true
			i++
		case isSpace(c):
			i++
		case c == '-' && i+1 < len(l.text) && l.text[i+1] == '-':
			n := bytes.IndexAny(l.text[i:], "\r\n")
			if n < 0 {
				return false
			}
			i += n
			comment = true
		case c == '\'' && lineEnd:
			t.Commented = t.Commented || comment
			l.pos = i + 1
			return true
		default:
			return false
		}
	}
	return false
}

// dollar moves behind a dollar-quoted string, a parameter, or a lone dollar.
func (l *Lexer) dollar(t *Token) {
	if isDigit(l.peek(1)) {
		t.Kind = Parameter
		l.pos += 2
		for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
			l.pos++
		}
		return
	}
	tag := l.tag()
	if tag == nil {
		t.Kind = Symbol
		l.pos++
		return
	}
	t.Kind = Dollar
	l.pos += len(tag)
	if i := bytes.Index(l.text[l.pos:], tag); i >= 0 {
		l.pos += i + len(tag)
		return
	}
	t.Open = true
	l.pos = len(l.text)
}

// tag returns the $tag$ at the position, nil where there is none.
func (l *Lexer) tag() []byte {
	for i := l.pos + 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == '$':
			return l.text[l.pos : i+1]
		case isIdentStart(c):
		case isDigit(c) && i > l.pos+1:
		default:
			return nil
		}
	}
	return nil
}

// Content returns what stands between a String, Escape, Unicode, Bits or Dollar
// token's quotes, still with its escapes and doubled quotes.
func (t Token) Content(text []byte) []byte {
	raw := text[t.Start:t.End]
	if t.Kind == Dollar {
		n := bytes.IndexByte(raw[1:], '$') + 2
		if t.Open {
			return raw[n:]
		}
		return raw[n : len(raw)-n]
	}
	raw = raw[bytes.IndexByte(raw, '\'')+1:]
	if t.Open {
		return raw
	}
	return raw[:len(raw)-1]
}
