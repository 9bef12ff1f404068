package view

import (
	"fmt"
	"strings"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// objectPattern names objects: a name, or a schema and a name, each with * for any
// characters and ? for one, in any case.
type objectPattern struct {
	schema, name string
	qualified    bool
}

// match says whether the object may be meant. What a statement names without a
// schema may be in any: a pattern with a schema finds it too, rather than miss it.
func (p *objectPattern) match(o *journal.Object) bool {
	if !wild(p.name, strings.ToLower(o.Name)) {
		return false
	}
	return !p.qualified || o.Schema == "" || wild(p.schema, strings.ToLower(o.Schema))
}

// splitPatterns splits at commas outside double quotes.
func splitPatterns(s string) []string {
	if s == "" {
		return nil
	}
	var out []string
	for {
		i := outside(s, ',')
		if i < 0 {
			return append(out, strings.TrimSpace(s))
		}
		out = append(out, strings.TrimSpace(s[:i]))
		s = s[i+1:]
	}
}

// outside returns the index of the first c outside double quotes, -1 for none.
func outside(s string, c byte) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == c && !quoted:
			return i
		}
	}
	return -1
}

func parseObject(s string) (objectPattern, error) {
	var p objectPattern
	if strings.Count(s, `"`)%2 != 0 {
		return p, fmt.Errorf("in the object %q a quote is not closed", s)
	}
	name := s
	if i := outside(s, '.'); i >= 0 {
		p.schema, name, p.qualified = unquote(s[:i]), s[i+1:], true
	}
	if p.name = unquote(name); p.name == "" || p.qualified && p.schema == "" || outside(name, '.') >= 0 {
		return p, fmt.Errorf("%q is no object: give a name, or a schema and a name, such as orders, sales.* or \"a.b\".c", s)
	}
	return p, nil
}

// unquote takes the quotes off a name; letters compare in any case with or without.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
	}
	return strings.ToLower(s)
}

// wild matches s with a pattern of * and ?, in time proportional to the product of
// their lengths at worst.
func wild(pattern, s string) bool {
	p, r := []rune(pattern), []rune(s)
	star, back := -1, 0
	i, k := 0, 0
	for k < len(r) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, k
			i++
		case i < len(p) && (p[i] == '?' || p[i] == r[k]):
			i++
			k++
		case star >= 0:
			back++
			i, k = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
