package auth

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

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
// to search_path is taken to be in the schema public while path is PathDefault, or, named
// as the system's are, in pg_catalog, as all are while it is PathEmpty, and protected in doubt
// otherwise; so it is where the pattern gives a name. What the text does not tell is protected by each pattern that it
// could fall under.
//
// A database of one byte to the character folds letters outside ASCII as well
// (downcase_identifier, scansup.c), and the text does not tell which it is: a name with
// such letters is protected as either.
//
// What is in no schema, a database or a role, is protected by patterns without one alone.
func (p Pattern) Matches(o statement.Object, path Path) bool {
	if p.matches(o, path) {
		return true
	}
	if ascii(o.Schema) && ascii(o.Name) {
		return false
	}
	o.Schema, o.Name = strings.Map(fold, o.Schema), strings.Map(fold, o.Name)
	return p.matches(o, path)
}

// fold makes a letter outside ASCII small. Those inside are, where PostgreSQL folds.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		return r
	}
	return unicode.ToLower(r)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (p Pattern) matches(o statement.Object, path Path) bool {
	switch {
	case o.Kind == "setting":
		return false // no object of the database
	case o.Name == statement.Any && (o.Schema == statement.Any || o.Kind == "schema"):
		return true
	case o.Kind == "schema":
		// DROP SCHEMA and GRANT … ON SCHEMA touch all that is in it.
		return may(p.schema, o.Name) && (p.schema != "*" || may(p.name, o.Name))
	case o.Schemaless():
		return p.schema == "*" && may(p.name, o.Name)
	case o.Name == statement.Any:
		return may(p.schema, o.Schema) // all that is in it
	case !may(p.name, o.Name):
		return false
	}
	if o.Schema != "" {
		return may(p.schema, o.Schema)
	}
	switch path.of(o) {
	case PathEmpty:
		return p.name != "*" || may(p.schema, "pg_catalog")
	case PathUnknown:
		return true
	default:
		return p.name != "*" || may(p.schema, "public") || strings.HasPrefix(o.Name, "pg_") && may(p.schema, "pg_catalog")
	}
}

// of is what is known of where an object's name is found. What is neither a relation nor a
// function may be in no schema at all, whatever search_path is.
func (p Path) of(o statement.Object) Path {
	if p == PathEmpty && o.InCatalog() == statement.NotInCatalog {
		return PathUnknown
	}
	return p
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
// pg_catalog, as all are while path is PathEmpty; while it is PathUnknown only a pattern of
// any schema covers it; so it is of what is in no schema. What the text does not tell is covered by the pattern of everything.
func (p Pattern) covers(o *statement.Object, path Path) bool {
	path = path.of(*o)
	switch {
	case o.Name == statement.Any && (o.Schema == statement.Any || o.Kind == "schema"):
		return p == Pattern{schema: "*", name: "*"}
	case o.Kind == "schema":
		return p.name == "*" && sure(p.schema, o.Name)
	case o.Schemaless():
		return p.schema == "*" && sure(p.name, o.Name)
	case !sure(p.name, o.Name), o.Name == statement.Any && p.name != "*":
		return false
	case o.Schema != "":
		return sure(p.schema, o.Schema)
	case p.schema == "*":
		return true
	case path == PathUnknown:
		return false
	case (path == PathEmpty || strings.HasPrefix(o.Name, "pg_")) && sure(p.schema, "pg_catalog"):
		return true
	default:
		return path == PathDefault && sure(p.schema, "public")
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
