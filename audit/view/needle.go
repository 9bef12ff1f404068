package view

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// needle is looked for in texts, in any case.
type needle struct {
	lower        string
	first, other byte // the first byte in both cases
	ascii        bool
}

func newNeedle(s string) needle {
	n := needle{lower: strings.ToLower(s), ascii: isASCII(s)}
	if n.ascii && s != "" {
		n.first = n.lower[0]
		n.other = strings.ToUpper(n.lower[:1])[0]
	}
	return n
}

// in says whether text holds the needle. A text in ASCII is searched without an
// allocation, others in *scratch, which may be nil.
func (n *needle) in(text []byte, scratch *[]byte) bool {
	switch {
	case n.lower == "":
		return true
	case n.ascii && n.inASCII(text):
		return true
	case n.ascii && isASCII(text):
		return false
	}
	// Some letters outside ASCII are, in lower case, inside: U+212A, the Kelvin sign.
	if scratch == nil {
		scratch = new([]byte)
	}
	*scratch = appendLower((*scratch)[:0], text)
	found := bytes.Contains(*scratch, []byte(n.lower))
	if cap(*scratch) > maxScratch {
		*scratch = nil
	}
	return found
}

// maxScratch is how large a buffer is kept for the next text.
const maxScratch = 1 << 20

// appendLower appends text as strings.ToLower has it.
func appendLower(b, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		b = utf8.AppendRune(b, unicode.ToLower(r))
		text = text[size:]
	}
	return b
}

func (n *needle) inASCII(text []byte) bool {
	for size := len(n.lower); len(text) >= size; {
		i := bytes.IndexByte(text[:len(text)-size+1], n.first)
		if n.other != n.first {
			if k := bytes.IndexByte(text[:boundAt(i, len(text)-size+1)], n.other); k >= 0 {
				i = k
			}
		}
		if i < 0 {
			return false
		}
		if n.equal(text[i : i+size]) {
			return true
		}
		text = text[i+1:]
	}
	return false
}

// equal compares with a text of the same length, of which letters in ASCII have
// any case.
func (n *needle) equal(text []byte) bool {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != n.lower[i] {
			return false
		}
	}
	return true
}

// boundAt is i, or end where i is negative.
func boundAt(i, end int) int {
	if i < 0 {
		return end
	}
	return i
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
