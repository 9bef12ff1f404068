package rules

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// fold maps texts that strings.EqualFold takes for equal onto one: each rune
// becomes the least of those it folds to.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			return strings.Map(least, s)
		}
	}
	return s
}

func least(r rune) rune {
	if r < utf8.RuneSelf {
		// The folds of ASCII letters outside ASCII are greater than they.
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}
	low := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		low = min(low, f)
	}
	return low
}
