package auth

import (
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
		{"private.*", object("", "x", "table"), true}, // search_path may lead there
		{"private.*", object("", "private", "schema"), true},
		{"private.*", object("", "public", "schema"), true}, // "*" names whatever the schema is unknown of
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
	}
	for _, tt := range tests {
		if got := pattern(t, tt.pattern).Matches(tt.object); got != tt.want {
			t.Errorf("%s matches %+v: %v", tt.pattern, tt.object, got)
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
