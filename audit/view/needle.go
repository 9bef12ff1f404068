package view

import (
	"strings"
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
// allocation.
func (n *needle) in(text string) bool {
	switch {
	case n.lower == "":
		return true
	case n.ascii && n.inBytes(text):
		return true
	case n.ascii && isASCII(text):
		return false
	}
	// Some letters outside ASCII are, in lower case, inside: U+212A, the Kelvin sign.
	return strings.Contains(strings.ToLower(text), n.lower)
}

func (n *needle) inBytes(text string) bool {
	for size := len(n.lower); len(text) >= size; {
		i := strings.IndexByte(text[:len(text)-size+1], n.first)
		if n.other != n.first {
			if k := strings.IndexByte(text[:boundAt(i, len(text)-size+1)], n.other); k >= 0 {
				i = k
			}
		}
		if i < 0 {
			return false
		}
		if strings.EqualFold(text[i:i+size], n.lower) {
			return true
		}
		text = text[i+1:]
	}
	return false
}

// boundAt is i, or end where i is negative.
func boundAt(i, end int) int {
	if i < 0 {
		return end
	}
	return i
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
