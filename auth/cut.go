package auth

import "strings"

// PostgreSQL cuts names at 63 bytes of the database's encoding (NAMEDATALEN, pg_mbcliplen),
// and the text was read as if that were UTF-8. Of a name with letters outside ASCII these are
// the fewest bytes, in UTF-8, that it has where it may have been cut here, and not there, and
// there, and not here: in LATIN1 a letter takes less, in EUC_JP one of two bytes takes three.
const (
	cutHere  = 60
	cutThere = 42
)

// may reports whether a pattern may be of what a text calls by that name.
func may(pattern, name string) bool {
	if match(pattern, name) || ascii(name) {
		return match(pattern, name)
	}
	begin := pattern
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		begin = pattern[:i]
	}
	whole := len(begin) == len(pattern)
	switch {
	case len(name) >= cutHere && (strings.HasPrefix(begin, name) || !whole && strings.HasPrefix(name, begin)):
		return true
	default:
		return whole && len(begin) >= cutThere && strings.HasPrefix(name, begin)
	}
}

// sure reports whether a pattern is of what a text calls by that name, however much of it
// the database may know.
func sure(pattern, name string) bool {
	return match(pattern, name) && (ascii(name) || len(name) < cutHere || strings.HasSuffix(pattern, "*") && !strings.HasSuffix(pattern, `\*`))
}
