package view

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// neutral makes one line of s that no terminal acts on: white space becomes one
// space, and what could act is spelt out. It stops at about bound cells, so that
// a text of 100 MB costs no more than it shows.
func neutral(s string, bound int) string {
	var b strings.Builder
	cells, space := 0, false
	for i, r := range s {
		if cells > bound {
			break
		}
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			cells++
			space = false
		}
		cells += spell(&b, s[i:], r)
	}
	return b.String()
}

// spell writes r, with which s begins, and spells it out where it acts or is not
// UTF-8. It returns the cells that it took.
func spell(b *strings.Builder, s string, r rune) int {
	switch {
	case r == utf8.RuneError && !strings.HasPrefix(s, "\uFFFD"):
		return put(b, fmt.Sprintf(`\x%02x`, s[0]))
	case journal.Acts(r) && r <= 0xff:
		return put(b, fmt.Sprintf(`\x%02x`, r))
	case journal.Acts(r):
		return put(b, fmt.Sprintf(`\u%04x`, r))
	}
	b.WriteRune(r)
	return runeCells(r)
}

// arrowless spells out the arrow that parts a text from what came of it, so that no
// text tells its own outcome.
func arrowless(s string, arrow rune) string {
	return strings.ReplaceAll(s, string(arrow), fmt.Sprintf(`\u%04x`, arrow))
}

func put(b *strings.Builder, s string) int {
	b.WriteString(s)
	return len(s)
}

// cells is the room that s takes in a terminal.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// fit neutralises s, and shortens it to at most bound cells, for display only.
func fit(s string, bound int) string {
	s = neutral(s, bound)
	if cells(s) <= bound {
		return s
	}
	n := 0
	for i, r := range s {
		if n+runeCells(r) > bound-1 {
			return s[:i] + "…"
		}
		n += runeCells(r)
	}
	return s
}
