package pgparse

import (
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// A text within a literal, whose escapes hide it from a look at the whole text, may read
// otherwise than the parser reads it.
func TestTextsWithinEscapes(t *testing.T) {
	const (
		plain = iota
		sensitive
		unknown
	)
	for text, want := range map[string]int{
		`DO E'BEGIN PERFORM \'\\\' || \'; DROP TABLE u; --\';\nEND'`:                              sensitive,
		`DO $a$BEGIN EXECUTE E'SELECT \'\\\' || \'; DROP TABLE u; --\'\n'; END$a$`:                sensitive,
		`SELECT query_to_xml(E'SELECT \'\\\' || \'; DROP TABLE u; --\'\n', true, true, '')`:       sensitive,
		`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS E'SELECT \'\x5c\'::text IS NULL'`:        sensitive,
		`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS U&'SELECT ''!005c''' UESCAPE '!'`:        sensitive,
		`DO E'BEGIN PERFORM \'a\';\n END'`:                                                        plain,
		`DO E'BEGIN PERFORM E\'\\n\'; END'`:                                                       plain,
		`SELECT E'\\', query_to_xml('SELECT 1', true, true, '')`:                                  plain,
		`DO E'BEGIN PERFORM $\u00A6$ x $\uFFE4$; DROP TABLE u; PERFORM $\uFFE4$ y $\u00A6$; END'`: unknown,
		`SELECT query_to_xml(E'SELECT $\u00A6$ x $\u00A6$', true, true, '')`:                      unknown,
	} {
		got := plain
		switch j := Read(text); {
		case j.Class&statement.Unknown != 0:
			got = unknown
		case j.Sensitive:
			got = sensitive
		}
		if got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
