package pgparse

import (
	"strings"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// nameSpace is what scanner_isspace (scansup.c) takes for white; from 16 on also \v.
const nameSpace = " \t\n\r\f"

// identifiers splits a qualified name in a string, and folds and cuts its parts as
// PostgreSQL does (textToQualifiedNameList and SplitIdentifierString, varlena.c). It
// reports false for what that refuses, or what versions read differently.
func identifiers(s string) (parts []string, valid bool) {
	for rest := strings.TrimLeft(s, nameSpace); ; {
		part, behind, ok := identifier(rest)
		if !ok {
			return nil, false
		}
		parts = append(parts, truncate(part))
		if rest = strings.TrimLeft(behind, nameSpace); rest == "" {
			return parts, true
		}
		if rest[0] != '.' {
			return nil, false
		}
		rest = strings.TrimLeft(rest[1:], nameSpace)
	}
}

// identifier takes one name off the front.
func identifier(s string) (name, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, nameSpace+".")
		if end < 0 {
			end = len(s)
		}
		return lower(s[:end]), s[end:], end > 0 && !strings.Contains(s[:end], "\v")
	}
	return statement.CutQuoted(s)
}

// truncate cuts a name as PostgreSQL does, which splits no character.
func truncate(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := maxName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// digits tells if a string is an OID to regclassin (regproc.c).
func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
