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
// and protected in doubt otherwise; so it is where the pattern gives a name. What the
// text does not tell is protected by each pattern that it could fall under.
func (p Pattern) Matches(o statement.Object, path Path) bool {
	switch {
	case o.Kind == "setting":
		return false // no object of the database
	case o.Name == statement.Any && (o.Schema == statement.Any || o.Kind == "schema"):
		return true
	case o.Kind == "schema":
		// DROP SCHEMA and GRANT … ON SCHEMA touch all that is in it.
		return match(p.schema, o.Name) && (p.schema != "*" || match(p.name, o.Name))
	case !match(p.name, o.Name):
		return false
	}
	if o.Schema != "" {
		return match(p.schema, o.Schema)
	}
	return path == PathUnknown || p.name != "*" || match(p.schema, "public")
}

// covered reports whether one of the patterns names the object for sure.
func covered(patterns []Pattern, o *statement.Object, path Path) bool {
	if !within(o) {
		return true
	}
	for _, p := range patterns {
		if p.covers(o, path) {
			return true
		}
	}
	return false
}

// within reports whether a list of objects is about o: settings and roles are in
// no schema, a function is executed as the class FUNCTION allows, a type that is only
// named holds nothing, and what belongs to a table is where the table is, which the
// statement names too.
func within(o *statement.Object) bool {
	switch o.Kind {
	case "setting", "parameter", "role", "trigger", "policy", "rule":
		return false
	case "type":
		return o.Use != statement.UseRead
	default:
		return o.Use != statement.UseExecute
	}
}

// covers reports whether the pattern names the object for sure. One that the
// text left to search_path is in public, or, named as the system's are, in
// pg_catalog; while path is PathUnknown only a pattern of any schema covers it. What the
// text does not tell is covered by the pattern of everything.
func (p Pattern) covers(o *statement.Object, path Path) bool {
	switch {
	case o.Name == statement.Any && (o.Schema == statement.Any || o.Kind == "schema"):
		return p == Pattern{schema: "*", name: "*"}
	case o.Kind == "schema":
		return p.name == "*" && match(p.schema, o.Name)
	case !match(p.name, o.Name):
		return false
	case o.Schema != "":
		return match(p.schema, o.Schema)
	case p.schema == "*":
		return true
	case path == PathUnknown:
		return false
	case strings.HasPrefix(o.Name, "pg_") && match(p.schema, "pg_catalog"):
		return true
	default:
		return match(p.schema, "public")
	}
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
