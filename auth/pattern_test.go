package auth

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

func TestPattern(t *testing.T) {
	object := func(schema, name, kind string) statement.Object {
		return statement.Object{Schema: schema, Name: name, Kind: kind}
	}
	tests := []struct {
		pattern string
		object  statement.Object
		want    bool
	}{
		{"private.*", object("private", "x", "table"), true},
		{"private.*", object("public", "x", "table"), false},
		{"private.*", object("private", "x/y", "table"), true},
		{"private.x/?", object("private", "x/y", "table"), true},
		{"private.*", object("", "x", "table"), false}, // see TestPatternInDoubt
		{"public.*", object("", "x", "table"), true},
		{"pg_catalog.*", object("", "pg_authid", "relation"), true},
		{"pg_catalog.*", object("", "x", "relation"), false},
		{"private.*", object("", "private", "schema"), true},
		{"private.*", object("", "public", "schema"), false},
		{"private.salaries", object("", "private", "schema"), true},
		{"private.salaries", object("", "public", "schema"), false},
		{"public.salaries", object("public", "salaries", "table"), true},
		{"public.salaries", object("", "salaries", "table"), true},
		{"public.salaries", object("public", "salaries2", "table"), false},
		{"public.salaries", object("Public", "salaries", "table"), false}, // "Public" is another schema
		{"salaries", object("any", "salaries", "view"), true},
		{"sal?ries", object("any", "salaries", "view"), true},
		{"salaries", object("", "other", "schema"), false},
		{"p[rs]*.secret_*", object("ps", "secret_1", "table"), true},
		{"geschäft.*", object("geschÄft", "x", "table"), true}, // GESCHÄFT, in a database of one byte to the character
		{"public.грузы", object("public", "ГРУЗЫ", "table"), true},
		{"public.GRÖSSE", object("public", "GRÖSSE", "table"), true},
		{"public.größe", object("public", "Größe", "table"), false},
		{"public." + strings.Repeat("ä", 40), object("public", strings.Repeat("ä", 31), "table"), true}, // cut here, and not in LATIN1
		{strings.Repeat("ä", 40) + ".*", object(strings.Repeat("ä", 31), "x", "table"), true},
		{"public." + strings.Repeat("ä", 35) + "?*", object("public", strings.Repeat("ä", 31), "table"), true},
		{"public." + strings.Repeat("ä", 30), object("public", strings.Repeat("ä", 29), "table"), false},
		{"public.b" + strings.Repeat("ä", 40), object("public", strings.Repeat("ä", 31), "table"), false},
		{"public.b*", object("public", strings.Repeat("ä", 31), "table"), false},
		{"public.b*", object("public", strings.Repeat("a", 62)+"é", "table"), false},
		{"public." + strings.Repeat("ğ", 21), object("public", strings.Repeat("ğ", 22), "table"), true}, // cut in EUC_JP, and not here
		{"salaries", object("private", statement.Any, "relation"), true},                                // of all that is in a schema
		{"public.salaries", object("private", statement.Any, "relation"), false},
		{"*.*", object("", "private", "role"), true},
		{"private", object("", "private", "database"), true},
		{"public.*", object("", "x", "database"), false},
		{"private.x", object("", "x", "role"), false},
		{"s.*", object("s", "bob", "user mapping"), false},
	}
	for _, tt := range tests {
		if got := pattern(t, tt.pattern).Matches(tt.object, PathDefault); got != tt.want {
			t.Errorf("%s matches %+v: %v", tt.pattern, tt.object, got)
		}
	}
}

// TestPatternInDoubt: once search_path may lead anywhere, a name without a schema
// is protected by every pattern that it could fall under.
func TestPatternInDoubt(t *testing.T) {
	o := statement.Object{Name: "x", Kind: "table"}
	for p, want := range map[string]bool{"private.*": true, "private.x": true, "private.y": false} {
		if got := pattern(t, p).Matches(o, PathUnknown); got != want {
			t.Errorf("%s matches x: %v", p, got)
		}
	}
	for _, kind := range []string{"role", "extension", "trigger"} {
		o.Kind = kind
		if pattern(t, "private.*").Matches(o, PathUnknown) {
			t.Errorf("private.* matches the %s x, which is in no schema", kind)
		}
	}
}

// TestPatternOfAny: what a text does not tell is protected by each pattern, and covered
// by none but that of everything.
func TestPatternOfAny(t *testing.T) {
	for _, o := range []statement.Object{
		{Schema: statement.Any, Name: statement.Any, Kind: "sequence", Use: statement.UseWrite},
		{Name: statement.Any, Kind: "schema", Use: statement.UseRead},
	} {
		for s, covers := range map[string]bool{"private.*": false, "private.x": false, "x": false, "?": false, "*.x": false, "*": true, "*.*": true} {
			p := pattern(t, s)
			if !p.Matches(o, PathDefault) || p.covers(&o, PathDefault) != covers {
				t.Errorf("%s: protects %v, covers %v", s, p.Matches(o, PathDefault), p.covers(&o, PathDefault))
			}
		}
		if d := (&Grant{}).decideObjects(&statement.Statement{Objects: []statement.Object{o}}, PathUnknown); !d.Allowed {
			t.Errorf("denied without a pattern: %+v", d)
		}
	}
}

func TestNewPatternRefuses(t *testing.T) {
	for _, s := range []string{"", ".", "a.", ".a", "[", "a.[", "[.a", `a\`} {
		if p, err := NewPattern(s); err == nil {
			t.Errorf("%q is taken for %s", s, p)
		}
	}
}

func TestPatternText(t *testing.T) {
	for s, want := range map[string]string{"a.b": "a.b", "b": "*.b", "a.b.c": "a.b.c"} {
		if got := pattern(t, s).String(); got != want {
			t.Errorf("%q prints as %q", s, got)
		}
	}
}
