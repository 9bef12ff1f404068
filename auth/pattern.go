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

// Matches reports whether the pattern names the object. One that the text left
// to search_path is taken to be in the schema public while path is PathDefault,
// and protected in doubt otherwise; so it is where the pattern gives a name.
func (p Pattern) Matches(o statement.Object, path Path) bool {
	if o.Kind == "setting" {
		return false // no object of the database
	}
	if o.Kind == "schema" {
		// DROP SCHEMA and GRANT … ON SCHEMA touch all that is in it.
		return match(p.schema, o.Name) && (p.schema != "*" || match(p.name, o.Name))
	}
	if !match(p.name, o.Name) {
		return false
	}
	if o.Schema != "" {
		return match(p.schema, o.Schema)
	}
	return path == PathUnknown || p.name != "*" || match(p.schema, "public")
}

// match is path.Match for names, where a slash is a character like any other.
func match(pattern, s string) bool {
	ok, _ := path.Match(slashless(pattern), slashless(s))
	return ok
}

// slashless puts a byte that no name can hold in the place of slashes.
func slashless(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.schema + "." + p.name }
