package statement

import "strings"

// CutQuoted takes a quoted identifier off the front of a string that begins with its
// quote, as SplitIdentifierString does (varlena.c); false where it has no end.
func CutQuoted(s string) (name, rest string, ok bool) {
	var b strings.Builder
	for s = s[1:]; ; s = s[1:] {
		end := strings.IndexByte(s, '"')
		if end < 0 {
			return "", "", false
		}
		b.WriteString(s[:end])
		if s = s[end+1:]; !strings.HasPrefix(s, `"`) {
			return b.String(), s, true
		}
		b.WriteByte('"')
	}
}
