package statement

import "strings"

// Infinite tells if a literal is one of the infinities of times and numbers. A
// comparison with one is a condition that everything passes, so texts with one
// are judged by themselves.
func Infinite(literal string) bool {
	const longest = len("  -infinity  ")
	if len(literal) < len("infinity") || len(literal) > longest {
		return false
	}
	return strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(literal), "-"), "infinity")
}
