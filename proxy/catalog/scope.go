package catalog

import (
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Scope is where a session finds names without a schema, in their order. The zero
// value is nowhere.
type Scope struct{ schemas []string }

// Leads tells whether names are found in a schema.
func (s *Scope) Leads(schema string) bool { return slices.Contains(s.schemas, schema) }

// Path returns a role's search_path in this database, as a new session has it.
// It reports false where that is not known.
func (s *Snapshot) Path(rol string) (string, bool) {
	r, ok := s.roles[rol]
	return r.path, ok && r.known
}

// mostSchemas bounds a search_path that is followed: each name is looked up in all.
const mostSchemas = 64

const systemSchema = "pg_catalog"

// Scope returns where names are found under a search_path, by a session whose
// current role is that (namespace.c, preprocessNamespacePath): the system's before
// all others unless the path says otherwise, schemas that the role may not use
// not at all. It reports false where that cannot be told.
func (s *Snapshot) Scope(rol, path string) (Scope, bool) {
	r, ok := s.roles[rol]
	names, valid := splitPath(path)
	if !ok || !valid || len(names) > mostSchemas {
		return Scope{}, false
	}
	var sc Scope
	system := false
	for _, schema := range names {
		if strings.HasPrefix(schema, "pg_temp") {
			return Scope{}, false // what the session makes may be there
		}
		if schema == "$user" {
			schema = rol
		}
		if schema == systemSchema {
			system = true
		} else if !r.usable[schema] {
			continue
		}
		if !slices.Contains(sc.schemas, schema) {
			sc.schemas = append(sc.schemas, strings.Clone(schema))
		}
	}
	if !system {
		sc.schemas = append([]string{systemSchema}, sc.schemas...)
	}
	return sc, true
}

const maxIdentifier = 63 // NAMEDATALEN - 1

// splitPath takes a search_path apart, as SplitIdentifierString does (varlena.c). It
// reports false for what that refuses, or may read in another way.
func splitPath(s string) ([]string, bool) {
	var out []string
	rest := strings.TrimLeft(s, space)
	if rest == "" {
		return nil, true
	}
	for {
		var one string
		var ok bool
		if one, rest, ok = cutIdentifier(rest); !ok || len(one) > maxIdentifier {
			return nil, false
		}
		out = append(out, one)
		if rest = strings.TrimLeft(rest, space); rest == "" {
			return out, true
		}
		if rest[0] != ',' {
			return nil, false
		}
		rest = strings.TrimLeft(rest[1:], space)
	}
}

// space is what scanner_isspace takes for white (scansup.c).
const space = " \t\n\r\f\v"

// cutIdentifier takes one identifier off the front.
func cutIdentifier(s string) (one, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, space+",")
		if end < 0 {
			end = len(s)
		}
		one = s[:end]
		for i := range len(one) {
			if one[i] >= 0x80 {
				return "", "", false // how it folds depends on the server's locale
			}
		}
		return strings.ToLower(one), s[end:], one != ""
	}
	return statement.CutQuoted(s)
}
