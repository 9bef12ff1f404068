package statement

import "strings"

const longestInfinity = len("  -infinity  ")

// Infinite tells if a literal is one of the infinities of times and numbers. A
// comparison with one is a condition that everything passes, so texts with one
// are judged by themselves.
func Infinite(literal string) bool {
	if len(literal) < len("infinity") || len(literal) > longestInfinity {
		return false
	}
	return strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(literal), "-"), "infinity")
}
