package sqllex

import (
	"errors"
	"io"
)

// Stream is a Lexer of a text that is too large to be held. It splits it into the
// same tokens, and holds a window of it.
type Stream struct {
	text io.ReaderAt
	size int64
	pos  int64

	base int64 // where the window begins
	have int64 // bytes in it
	buf  [window]byte
	err  error
}

const (
	window = 64 << 10
	// MaxTag bounds the tag of a dollar-quoted string, $ and $ included. What a Lexer
	// reads beyond it is left open here, and so runs to the end.
	MaxTag = 16 << 10
)

// StreamToken is a Token of a Stream.
type StreamToken struct {
	Kind         Kind
	Start, End   int64
	Open, Shifts bool
}

// NewStream returns a stream at the beginning of a text of so many bytes.
func NewStream(text io.ReaderAt, size int64) *Stream { return &Stream{text: text, size: size} }

// Size is the text's.
func (s *Stream) Size() int64 { return s.size }

// Err is the first error of reading the text. Behind it come no tokens.
func (s *Stream) Err() error { return s.err }

// ReadAt reads a part of the text, which is all there.
func (s *Stream) ReadAt(b []byte, at int64) error {
	n, err := s.text.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// at returns the byte at a place, 0 beyond the end.
func (s *Stream) at(i int64) byte {
	if d := uint64(i - s.base); d < uint64(s.have) {
		return s.buf[d]
	}
	return s.load(i)
}

// load moves the window. It keeps a little of what is before: a token looks back by
// one byte.
func (s *Stream) load(i int64) byte {
	if i < 0 || i >= s.size || s.err != nil {
		return 0
	}
	s.base = max(0, i-16)
	s.have = min(window, s.size-s.base)
	if s.err = s.ReadAt(s.buf[:s.have], s.base); s.err != nil {
		s.have, s.size = 0, 0
		return 0
	}
	return s.buf[i-s.base]
}

func (s *Stream) peek(n int64) byte { return s.at(s.pos + n) }

// Begin returns the beginning of a token in b, as far as there is room.
func (s *Stream) Begin(t StreamToken, b []byte) []byte {
	b = b[:min(int64(len(b)), t.End-t.Start)]
	for i := range b {
		b[i] = s.at(t.Start + int64(i))
	}
	return b
}

// Next returns the next token; at the end of the text one of kind End.
func (s *Stream) Next() StreamToken {
	for s.pos < s.size && isSpace(s.at(s.pos)) {
		s.pos++
	}
	t := StreamToken{Start: s.pos}
	if s.pos < s.size {
		s.scan(&t)
	}
	t.End = s.pos
	if s.err != nil {
		return StreamToken{Start: s.pos, End: s.pos}
	}
	return t
}

func (s *Stream) scan(t *StreamToken) {
	c := s.at(s.pos)
	switch {
	case c == '-' && s.peek(1) == '-':
		t.Kind = Comment
		s.pos = s.lineEnd(s.pos)
	case c == '/' && s.peek(1) == '*':
		t.Kind = Comment
		t.Open = s.block()
	case c == '\'':
		t.Kind = String
		s.quoted(t, 1)
	case c == '"':
		t.Kind = Identifier
		s.identifier(t, 1)
	case c == '$':
		s.dollar(t)
	case isDigit(c), c == '.' && isDigit(s.peek(1)):
		t.Kind = Number
		s.number()
	case isIdentStart(c):
		s.word(t)
	default:
		t.Kind = Symbol
		s.symbol()
	}
}

// lineEnd is where the next CR or LF stands, or the end.
func (s *Stream) lineEnd(i int64) int64 {
	for ; i < s.size; i++ {
		if c := s.at(i); c == '\r' || c == '\n' {
			return i
		}
	}
	return s.size
}

func (s *Stream) block() bool {
	for depth := 0; s.pos < s.size; {
		switch c := s.at(s.pos); {
		case c == '/' && s.peek(1) == '*':
			depth++
			s.pos += 2
		case c == '*' && s.peek(1) == '/':
			depth--
			s.pos += 2
			if depth == 0 {
				return false
			}
		default:
			s.pos++
		}
	}
	return true
}

func (s *Stream) word(t *StreamToken) {
	c, next := s.at(s.pos)|0x20, s.peek(1)
	switch {
	case c == 'e' && next == '\'':
		t.Kind = Escape
		s.quoted(t, 2)
	case (c == 'b' || c == 'x') && next == '\'':
		t.Kind = Bits
		s.quoted(t, 2)
	case c == 'u' && next == '&' && s.peek(2) == '\'':
		t.Kind = Unicode
		s.quoted(t, 3)
	case c == 'u' && next == '&' && s.peek(2) == '"':
		t.Kind = Identifier
		s.identifier(t, 3)
	default:
		t.Kind = Word
		for s.pos < s.size && isIdentPart(s.at(s.pos)) {
			s.pos++
		}
	}
}

func (s *Stream) identifier(t *StreamToken, n int64) {
	s.pos += n
	for s.pos < s.size {
		if s.at(s.pos) != '"' {
			s.pos++
			continue
		}
		if s.peek(1) != '"' {
			s.pos++
			return
		}
		s.pos += 2
	}
	t.Open = true
}

func (s *Stream) number() {
	for s.pos < s.size {
		c := s.at(s.pos)
		switch {
		case c == '.' && s.peek(1) == '.':
			return
		case (c == '+' || c == '-') && s.at(s.pos-1)|0x20 == 'e' && isDigit(s.peek(1)):
		case c == '.' || isDigit(c) || isIdentStart(c):
		default:
			return
		}
		s.pos++
	}
}

func (s *Stream) symbol() {
	c := s.at(s.pos)
	if !isOperator(c) {
		if two := s.peek(1); c == ':' && two == '=' || c == '.' && two == '.' {
			s.pos++
		}
		s.pos++
		return
	}
	s.pos++
	for s.pos < s.size && isOperator(s.at(s.pos)) {
		next := s.peek(1)
		if c := s.at(s.pos); c == '-' && next == '-' || c == '/' && next == '*' {
			return
		}
		s.pos++
	}
}
