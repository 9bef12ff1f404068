package auth

import (
	"path"
	"strings"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Pattern names objects: "schema.name", where each part may hold the wildcards
// of path.Match. A pattern without a schema stands for that name in any.
type Pattern struct{ schema, name string }

// NewPattern reads a pattern.
func NewPattern(s string) (Pattern, error) {
	schema, name, found := strings.Cut(s, ".")
	if !found {
		schema, name = "*", s
	}
	for _, part := range []string{schema, name} {
		if _, err := path.Match(part, ""); err != nil || part == "" {
			return Pattern{}, path.ErrBadPattern
		}
	}
	return Pattern{schema: schema, name: name}, nil
}

// Matches reports whether the pattern names the object. An object that the text
// left to search_path is matched by its name alone: in doubt it is protected.
func (p Pattern) Matches(o statement.Object) bool {
	if ok, _ := path.Match(p.name, o.Name); !ok {
		// DROP SCHEMA and GRANT … ON SCHEMA touch all that is in it.
		return o.Kind == "schema" && p.schema != "*" && match(p.schema, o.Name)
	}
	return o.Schema == "" || match(p.schema, o.Schema)
}

func match(pattern, s string) bool {
	ok, _ := path.Match(pattern, s)
	return ok
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.schema + "." + p.name }
