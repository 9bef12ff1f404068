package auth

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SameName reports whether two names of accounts or groups are one: they may differ in
// case. A letter has one other case here. Unicode folds more, K with the sign of Kelvin, i
// with İ, s with ſ, which are letters of other names in a directory: whoever may name an
// account or a group there must not get a name that rules know.
func SameName(a, b string) bool {
	for a != "" && b != "" {
		x, n := letter(a)
		y, m := letter(b)
		if x != y {
			return false
		}
		a, b = a[n:], b[m:]
	}
	return a == b
}

// FoldName maps names that are one, and no others, onto one text: in lower case.
func FoldName(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' }) < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for s != "" {
		r, n := letter(s)
		if r < 0 {
			out = append(out, s[0])
		} else {
			out = utf8.AppendRune(out, r)
		}
		s = s[n:]
	}
	return string(out)
}

// letter returns the first letter of a name, in lower case, and its size. A byte that is
// no UTF-8 is a negative number of its own.
func letter(s string) (r rune, size int) {
	r, size = utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size == 1 {
		return -rune(s[0]), 1
	}
	if low := unicode.ToLower(r); unicode.ToUpper(low) == r {
		return low, size
	}
	return r, size
}

// What a rule means an account or a group by shows in its form: no account is called like
// a SID, a UPN or a DN, whatever somebody has named it.
func isSID(spec string) bool { return len(spec) > 4 && SameName(spec[:4], "S-1-") }
func isUPN(spec string) bool { return strings.Contains(spec, "@") }
func isDN(spec string) bool  { return strings.Contains(spec, "=") }
