package auth

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

func judgement(list ...statement.Statement) *statement.Judgement {
	j := &statement.Judgement{Statements: list}
	for _, s := range list {
		j.Class |= s.Class
		j.Tags |= s.Tags
	}
	return j
}

var (
	orders     = statement.Object{Schema: "public", Name: "orders", Kind: "table", Use: statement.UseRead}
	selectOne  = statement.Statement{Command: "SELECT", Class: statement.Read, Objects: []statement.Object{orders}}
	deleteAll  = statement.Statement{Command: "DELETE", Class: statement.Write, Tags: statement.TagDestructive, Destructive: "DELETE without WHERE", Objects: []statement.Object{{Schema: "public", Name: "orders", Use: statement.UseWrite}, {Name: "customers", Use: statement.UseRead}}}
	begin      = statement.Statement{Command: "BEGIN", Class: statement.Misc, Tags: statement.TagTransaction, Effect: statement.Effect{Kind: statement.EffectBegin}}
	rollback   = statement.Statement{Command: "ROLLBACK", Class: statement.Misc, Tags: statement.TagTransaction, Effect: statement.Effect{Kind: statement.EffectRollback}}
	unreadable = statement.UnknownText([]byte("sel"), statement.CauseSyntax)
)

func pattern(t *testing.T, s string) Pattern {
	t.Helper()
	p, err := NewPattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	all := statement.Read | statement.Write | statement.Misc
	tests := []struct {
		name  string
		grant Grant
		j     *statement.Judgement
		want  Decision
	}{
		{"nothing sent", Grant{}, judgement(), Decision{Allowed: true}},
		{"class given", Grant{Classes: statement.Read}, judgement(selectOne), Decision{Allowed: true}},
		{"no classes at all", Grant{}, judgement(selectOne), Decision{What: "SELECT on public.orders", Missing: "class READ"}},
		{"class missing", Grant{Classes: statement.Read}, judgement(deleteAll), Decision{What: "DELETE without WHERE on public.orders", Missing: "class WRITE"}},
		{"tag missing", Grant{Classes: all}, judgement(deleteAll), Decision{What: "DELETE without WHERE on public.orders", Missing: "tag destructive"}},
		{"tag given", Grant{Classes: all, Tags: statement.TagDestructive}, judgement(deleteAll), Decision{Allowed: true}},
		{"one of several", Grant{Classes: all}, judgement(begin, selectOne, deleteAll), Decision{Statement: 2, What: "DELETE without WHERE on public.orders", Missing: "tag destructive"}},
		{"a tag that only describes", Grant{Classes: all}, judgement(begin), Decision{Allowed: true}},
		{"the end of a transaction", Grant{}, judgement(rollback), Decision{Allowed: true}},
		{"an end and something else", Grant{}, judgement(rollback, selectOne), Decision{Statement: 1, What: "SELECT on public.orders", Missing: "class READ"}},
		{"unknown", Grant{Classes: all}, unreadable, Decision{What: "a statement that could not be read", Missing: "class UNKNOWN"}},
		{"unknown named", Grant{Classes: statement.Unknown}, unreadable, Decision{Allowed: true}},
		{"object denied", Grant{Classes: all, DeniedObjects: []Pattern{pattern(t, "public.ord*")}}, judgement(selectOne), Decision{What: "SELECT on public.orders", Kept: "public.ord*"}},
		{"command given", Grant{Classes: all, Commands: commands(t, "INSERT", "SEL*")}, judgement(selectOne), Decision{Allowed: true}},
		{"command missing", Grant{Classes: all, Commands: commands(t, "INSERT", "SELECT INTO")}, judgement(selectOne), Decision{What: "SELECT on public.orders", Missing: "command SELECT"}},
		{"command denied", Grant{Classes: all, DeniedCommands: commands(t, "SELECT")}, judgement(selectOne), Decision{What: "SELECT on public.orders", Missing: "command SELECT"}},
		{"command given and denied", Grant{Classes: all, Commands: commands(t, "*"), DeniedCommands: commands(t, "S*")}, judgement(selectOne), Decision{What: "SELECT on public.orders", Missing: "command SELECT"}},
		{"the end of a transaction is no command", Grant{Commands: commands(t, "SELECT"), DeniedCommands: commands(t, "*")}, judgement(rollback), Decision{Allowed: true}},
		{"a command that cannot be read", Grant{Classes: statement.Unknown, Commands: commands(t, "*")}, unreadable, Decision{What: "a statement that could not be read", Missing: "commands that cannot be read"}},
		{"an empty text is no command", Grant{Commands: commands(t, "SELECT"), Objects: []Pattern{pattern(t, "x")}}, judgement(statement.Statement{}), Decision{Allowed: true}},
		{"object given", Grant{Classes: all, Objects: []Pattern{pattern(t, "private.*"), pattern(t, "public.ord*")}}, judgement(selectOne), Decision{Allowed: true}},
		{"object missing", Grant{Classes: all, Objects: []Pattern{pattern(t, "private.*")}}, judgement(selectOne), Decision{What: "SELECT on public.orders", Missing: "table public.orders"}},
		{"object given and denied", Grant{Classes: all, Objects: []Pattern{pattern(t, "*.*")}, DeniedObjects: []Pattern{pattern(t, "public.ord*")}}, judgement(selectOne), Decision{What: "SELECT on public.orders", Kept: "public.ord*"}},
		{"objects that cannot be read", Grant{Classes: statement.Unknown, Objects: []Pattern{pattern(t, "*.*")}}, unreadable, Decision{What: "a statement that could not be read", Missing: "objects that cannot be read"}},
		{"objects that cannot be read, denied", Grant{Classes: statement.Unknown, DeniedObjects: []Pattern{pattern(t, "private.*")}}, unreadable, Decision{What: "a statement that could not be read", Missing: "objects that cannot be read"}},
		{"object beside", Grant{Classes: all, DeniedObjects: []Pattern{pattern(t, "private.*")}}, judgement(selectOne), Decision{Allowed: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.grant.Decide(tt.j, PathDefault); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestInvariant7UnknownIsAClass: every known class and every tag together do
// not let a statement pass that could not be read.
func TestInvariant7UnknownIsAClass(t *testing.T) {
	g := Grant{Classes: ^statement.Unknown, Tags: ^statement.Tag(0)}
	if g.Decide(unreadable, PathDefault).Allowed {
		t.Error("allowed")
	}
}

// TestDecideByStatementAgrees: the short cut over the whole text and the walk
// over its statements decide alike, for every pair of class and tag.
func TestDecideByStatementAgrees(t *testing.T) {
	for c := statement.Class(1); c <= statement.Unknown; c <<= 1 {
		for tag := statement.Tag(1); tag <= statement.TagFastpath; tag <<= 1 {
			s := statement.Statement{Command: "X", Class: c, Tags: tag}
			for _, g := range []Grant{{}, {Classes: c}, {Classes: c, Tags: tag}, {Classes: ^c, Tags: ^tag}} {
				whole, single := g.Decide(judgement(s), PathDefault), g.DecideStatement(&s, PathDefault)
				if whole != single {
					t.Errorf("%s %s under %s %s: %+v and %+v", c, tag, g.Classes, g.Tags, whole, single)
				}
			}
		}
	}
}

// A name in SQL that the statement runs can be in any schema where the statement sets
// the path, one in a function's body always; and names of its own text are where they were.
func TestNamesThatAreLookedUpLate(t *testing.T) {
	relation := func(late bool) statement.Object {
		return statement.Object{Name: "salaries", Kind: "relation", Use: statement.UseRead, Late: late}
	}
	path := statement.Object{Name: "search_path", Kind: "setting", Use: statement.UseAlter}
	f := statement.Object{Name: "f", Kind: "function", Use: statement.UseCreate}
	deny, list := Grant{DeniedObjects: []Pattern{pattern(t, "private.*")}}, Grant{Objects: []Pattern{pattern(t, "public.*")}}
	for _, tt := range []struct {
		st      statement.Statement
		allowed bool
	}{
		{statement.Statement{Objects: []statement.Object{relation(true)}}, true},
		{statement.Statement{Objects: []statement.Object{relation(false)}, Calls: true}, true},
		{statement.Statement{Objects: []statement.Object{relation(true)}, Calls: true}, false},
		{statement.Statement{Objects: []statement.Object{relation(true), path}}, false},
		{statement.Statement{Objects: []statement.Object{relation(false), path}}, false},
		{statement.Statement{Objects: []statement.Object{f, relation(true)}}, false},
		{statement.Statement{Objects: []statement.Object{f, relation(false)}}, true},
	} {
		for _, g := range []Grant{deny, list} {
			if d := g.DecideStatement(&tt.st, PathDefault); d.Allowed != tt.allowed {
				t.Errorf("%+v: %+v", tt.st, d)
			}
		}
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	g, j := Grant{Classes: statement.Read}, judgement(selectOne)
	if n := testing.AllocsPerRun(100, func() {
		if !g.Decide(j, PathDefault).Allowed {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDescribe(t *testing.T) {
	object := func(name string, use statement.Use) statement.Object { return statement.Object{Name: name, Use: use} }
	tests := []struct {
		s    statement.Statement
		want string
	}{
		{statement.Statement{}, "a statement"},
		{statement.Statement{Command: "VACUUM"}, "VACUUM"},
		{statement.Statement{Command: "INSERT", Objects: []statement.Object{object("a", statement.UseRead), object("b", statement.UseWrite)}}, "INSERT on b"},
		{statement.Statement{Command: "SELECT", Objects: []statement.Object{object("f", statement.UseExecute), object("a", statement.UseRead)}}, "SELECT on a"},
		{statement.Statement{Command: "DROP TABLE", Objects: []statement.Object{object("a", statement.UseDrop), object("b", statement.UseDrop), object("c", statement.UseDrop), object("d", statement.UseDrop)}}, "DROP TABLE on a, b, c, …"},
	}
	for _, tt := range tests {
		if got := describe(&tt.s); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func commands(t *testing.T, list ...string) []Command {
	t.Helper()
	var out []Command
	for _, s := range list {
		c, ok := NewCommand(s)
		if !ok {
			t.Fatal(s)
		}
		out = append(out, c)
	}
	return out
}

func TestNewCommand(t *testing.T) {
	for s, want := range map[string]bool{"SELECT": true, "DROP *": true, "*": true, "": false, "select": false, "DROP*TABLE": false, "SELECT;": false} {
		if _, ok := NewCommand(s); ok != want {
			t.Errorf("%q: %v", s, ok)
		}
	}
}

// TestCovered: a list of objects lets pass what it names for sure, and nothing else.
func TestCovered(t *testing.T) {
	table := func(schema, name string) statement.Object {
		return statement.Object{Schema: schema, Name: name, Kind: "table", Use: statement.UseRead}
	}
	tests := []struct {
		pattern string
		object  statement.Object
		path    Path
		want    bool
	}{
		{"sales.*", table("sales", "x"), PathUnknown, true},
		{"sales.*", table("Sales", "x"), PathDefault, false},
		{"sales.*", table("", "x"), PathDefault, false},
		{"public.*", table("", "x"), PathDefault, true},
		{"public.*", table("", "x"), PathUnknown, false},
		{"x", table("", "x"), PathUnknown, true},
		{"x", table("other", "x"), PathDefault, true},
		{"pg_catalog.*", table("", "pg_class"), PathDefault, true},
		{"pg_catalog.*", table("", "pg_class"), PathUnknown, false},
		{"pg_catalog.*", table("", "orders"), PathDefault, false},
		{"sales.*", statement.Object{Name: "sales", Kind: "schema", Use: statement.UseDrop}, PathDefault, true},
		{"sales.x", statement.Object{Name: "sales", Kind: "schema", Use: statement.UseDrop}, PathDefault, false},
		{"sales.*", statement.Object{Name: "lower", Kind: "function", Use: statement.UseExecute}, PathDefault, true},
		{"sales.*", statement.Object{Name: "f", Kind: "function", Use: statement.UseDrop}, PathDefault, false},
		{"sales.*", statement.Object{Name: "work_mem", Kind: "setting", Use: statement.UseAlter}, PathDefault, true},
		{"sales.*", statement.Object{Schema: "public", Name: "citext", Kind: "type", Use: statement.UseRead}, PathDefault, true},
		{"sales.*", statement.Object{Schema: "public", Name: "citext", Kind: "type", Use: statement.UseDrop}, PathDefault, false},
		{"sales.*", statement.Object{Name: "postgis", Kind: "extension", Use: statement.UseCreate}, PathDefault, false},
		{"public.*", statement.Object{Name: "postgis", Kind: "extension", Use: statement.UseCreate}, PathDefault, false},
		{"public.*", statement.Object{Name: "orders", Kind: "database", Use: statement.UseDrop}, PathDefault, false},
		{"public.*", statement.Object{Name: "4711", Kind: "large object", Use: statement.UseAlter}, PathDefault, false},
		{"pg_catalog.*", statement.Object{Name: "pg_all", Kind: "publication", Use: statement.UseCreate}, PathDefault, false},
		{"public.*", statement.Object{Schema: "public", Name: "bob", Kind: "user mapping", Use: statement.UseCreate}, PathDefault, false},
		{"public." + strings.Repeat("ä", 31), table("public", strings.Repeat("ä", 31)), PathDefault, false}, // in LATIN1 it may go on
		{"public.*", table("public", statement.Any), PathDefault, true},
		{"public.?", table("public", statement.Any), PathDefault, false},
		{"public.ä*", table("public", strings.Repeat("ä", 31)), PathDefault, true},
		{"public." + strings.Repeat("ä", 29), table("public", strings.Repeat("ä", 29)), PathDefault, true},
		{"postgis", statement.Object{Name: "postgis", Kind: "extension", Use: statement.UseCreate}, PathUnknown, true},
	}
	for _, tt := range tests {
		if got := covered([]Pattern{pattern(t, tt.pattern)}, &tt.object, tt.path); got != tt.want {
			t.Errorf("%s covers %s %q.%q: %v", tt.pattern, tt.object.Kind, tt.object.Schema, tt.object.Name, got)
		}
	}
}

// What stands behind a name can be denied, and never lets anything pass.
func TestResolved(t *testing.T) {
	everything := statement.Class(1<<len(statement.ClassNames()) - 1)
	deny := &Grant{Classes: everything, DeniedObjects: []Pattern{pattern(t, "private.*")}}
	list := &Grant{Classes: everything, Objects: []Pattern{pattern(t, "public.*")}}
	st := &statement.Statement{Command: "SELECT", Class: statement.Read}
	named := &statement.Object{Schema: "public", Name: "v", Kind: "relation", Use: statement.UseRead}
	of := func(through statement.Through, schema, kind string) *statement.Resolved {
		return &statement.Resolved{Object: statement.Object{Schema: schema, Name: "x", Kind: kind, Use: statement.UseRead}, Through: through}
	}
	for _, tt := range []struct {
		g       *Grant
		r       *statement.Resolved
		allowed bool
		what    string
	}{
		{deny, of(statement.ThroughView, "private", "table"), false, "SELECT: public.v, behind which is private.x"},
		{deny, of(statement.ThroughName, "private", "table"), false, "SELECT: public.v, which stands for private.x"},
		{deny, of(statement.ThroughParent, "private", "table"), false, "SELECT: public.v, behind which is private.x"},
		{deny, of(statement.ThroughView, "public", "table"), true, ""},
		{list, of(statement.ThroughView, "private", "table"), true, ""},
		{list, of(statement.ThroughName, "private", "table"), false, "SELECT: public.v, which stands for private.x"},
		{list, of(statement.ThroughName, "public", "table"), true, ""},
		{&Grant{}, of(statement.ThroughName, "private", "table"), true, ""},
	} {
		if d := tt.g.DecideResolved(st, named, tt.r); d.Allowed != tt.allowed || d.What != tt.what {
			t.Errorf("%+v: %+v", tt.r, d)
		}
	}
}
