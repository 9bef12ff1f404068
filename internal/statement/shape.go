package statement

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// shape is a text with its plain literals and its comments masked, by which the
// judgement of a text is found that differs in these only. It is used again for
// the next text.
type shape struct {
	key   []byte // shapeMark, and the text with one mark in the place of each hole
	holes []Hole
}

// Hole is a part of a text that its shape leaves out: text[Start:End].
type Hole struct {
	Start, End int
	Comment    bool
}

// The marks of a shape. No text that has one of these bytes of its own is masked,
// and none with a NUL is ever kept, so that no shape is another text's.
const (
	shapeMark   = 0x00
	integerMark = 0x01 // up to nine digits
	decimalMark = 0x02 // digits, a dot, digits
	stringMark  = 0x03 // '…', one segment, no backslash
	commentMark = 0x04
	lastMark    = 0x08 // up to here, bytes of the text's own keep it from being masked
)

// maxHoles bounds what is kept for one text.
const maxHoles = 4096

// Holes returns what the shape of a text leaves out; false for a text that is
// not masked, because it has nothing to mask, or something whose meaning or whose
// end a literal or a setting could change: E”, U&”, B”, $$, a backslash, a
// literal in segments, a literal or a comment that may tell a secret.
func Holes(text []byte) ([]Hole, bool) {
	var s shape
	ok := s.read(text)
	return s.holes, ok
}

// read makes the text's shape, and tells if there is one.
func (s *shape) read(text []byte) bool {
	s.key = append(s.key[:0], shapeMark)
	s.holes = s.holes[:0]
	kept := 0
	for l := sqllex.New(text); ; {
		t := l.Next()
		if t.Kind == sqllex.End {
			break
		}
		mark, ok := markOf(&t, text)
		if !ok || len(s.holes) == maxHoles {
			return false
		}
		if mark == 0 {
			continue
		}
		s.key = append(append(s.key, text[kept:t.Start]...), mark)
		s.holes = append(s.holes, Hole{t.Start, t.End, mark == commentMark})
		kept = t.End
	}
	s.key = append(s.key, text[kept:]...)
	return len(s.holes) > 0
}

// markOf returns what stands for a token in a shape, 0 where it stands for
// itself; false where its text is not to be masked.
func markOf(t *sqllex.Token, text []byte) (mark byte, ok bool) {
	switch t.Kind {
	case sqllex.Number:
		return numberMark(text[t.Start:t.End]), true
	case sqllex.String:
		return stringMark, !t.Open && !t.Backslash && !t.Commented && plain(text[t.Start+1:t.End-1])
	case sqllex.Comment:
		return commentMark, !t.Open && bytes.IndexByte(text[t.Start:t.End], '\\') < 0 && !mayTell(text[t.Start:t.End])
	case sqllex.Escape, sqllex.Unicode, sqllex.Bits, sqllex.Dollar:
		return 0, false
	default:
		return 0, !t.Open
	}
}

// numberMark returns the mark of a number as everybody writes them, 0 for others.
func numberMark(token []byte) byte {
	dots, digits := 0, 0
	for _, c := range token {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && digits > 0:
			dots++
		default:
			return 0
		}
	}
	switch {
	case dots == 0 && digits <= 9:
		return integerMark
	case dots == 1 && token[len(token)-1] != '.':
		return decimalMark
	}
	return 0
}

// plain tells if what stands between the quotes of a literal is one segment and
// can neither tell a secret nor be an infinity.
func plain(content []byte) bool {
	for i := 0; i < len(content); i++ {
		switch content[i] {
		case '\'':
			if i++; i == len(content) || content[i] != '\'' {
				return false
			}
		case 'p', 'P':
			if i+4 <= len(content) && bytes.EqualFold(content[i:i+4], []byte("pass")) {
				return false
			}
		case ':':
			if i+3 <= len(content) && content[i+1] == '/' && content[i+2] == '/' {
				return false
			}
		}
	}
	return len(content) < len("infinity") || len(content) > longestInfinity || !Infinite(string(content))
}

// maskable tells if a text is one that shapes are made of: not too long, without
// bytes that are marks, and in an encoding that can be trusted.
func maskable(text []byte, encoding Encoding) bool {
	if len(text) > maxCachedText {
		return false
	}
	unmarked, ascii := survey(text)
	return unmarked && (ascii || encoding == UTF8 && utf8.Valid(text))
}

// survey tells if a text is without bytes that are marks, and if it is ASCII. It
// reads eight bytes at once.
func survey(text []byte) (unmarked, ascii bool) {
	low, high := uint64(0), uint64(0)
	for ; len(text) >= 8; text = text[8:] {
		x := binary.LittleEndian.Uint64(text)
		low |= (x - ones*(lastMark+1)) &^ x // bit 7 of a byte that is a mark, or of one behind it
		high |= x
	}
	for _, c := range text {
		if c <= lastMark {
			return false, false
		}
		high |= uint64(c)
	}
	return low&(ones<<7) == 0, high&(ones<<7) == 0
}

// ones has a 1 in each byte.
const ones = 0x0101_0101_0101_0101
