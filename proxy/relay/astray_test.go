package relay

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Ways to have a name without a schema found where no rule looks.

func setting(name string) statement.Object {
	return statement.Object{Name: name, Kind: "setting", Use: statement.UseAlter}
}

func lateRead(name string) statement.Object {
	o := reads(name)
	o.Late = true
	return o
}

// keepsPrivate is a harness whose rule keeps everybody from the schema private, and
// gives all else.
func keepsPrivate(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	g := anything()
	g.DeniedObjects = patterns(t, "private.*")
	h.m.SetGrant(g)
	names(h, statement.Read, "SELECT salaries", reads("salaries"))
	names(h, statement.Function, "DO sets", setting("search_path"), lateRead("salaries"))
	names(h, statement.Function, "DO any", setting("*"), lateRead("salaries"))
	names(h, statement.Function, "DO role", setting("role"), lateRead("salaries"))
	names(h, statement.Function, "DO nothing", setting("work_mem"), lateRead("salaries"))
	names(h, statement.Function, "DO calls", lateRead("salaries"))
	h.judge.known["DO calls"].Statements[0].Calls = true
	names(h, statement.Read|statement.Function, "SELECT calls", reads("salaries"))
	h.judge.known["SELECT calls"].Statements[0].Calls = true
	names(h, statement.DDL, "CREATE FUNCTION", statement.Object{Name: "peek", Kind: "function", Use: statement.UseCreate}, lateRead("salaries"))
	for text, effect := range map[string]statement.Effect{
		"SET ROLE private":    {Kind: statement.EffectRole, Name: "private", Hold: true},
		"RESET ROLE":          {Kind: statement.EffectRole, Hold: true},
		"SET AUTHORIZATION":   {Kind: statement.EffectAuthorization, Name: "private", Hold: true},
		"RESET AUTHORIZATION": {Kind: statement.EffectAuthorization, Hold: true},
	} {
		names(h, statement.MiscSet, text, setting("role"))
		h.judge.known[text].Statements[0].Effect = effect
	}
	return h
}

// A statement that sets the path, or may, before it looks up the names in it.
func TestPathSetByTheStatementItself(t *testing.T) {
	for text, want := range map[string]string{
		"DO sets": "denied", "DO any": "denied", "DO role": "denied", "DO calls": "denied", "CREATE FUNCTION": "denied",
		"DO nothing": "allowed", "SELECT calls": "allowed",
	} {
		for how, sent := range map[string][]byte{
			"simple": query(text), "extended": join(parse("", text), bind("", ""), execute("", 0), syncMsg),
		} {
			h := keepsPrivate(t)
			h.client(sent)
			if got := h.last(); !strings.Contains(got, " "+want+" ") {
				t.Errorf("%s, %s: %s, want %s", text, how, got, want)
			}
		}
	}
}

// Arguments of EXECUTE are worked out before its statement's names are looked up anew.
func TestPathSetByAnArgumentOfExecute(t *testing.T) {
	for text, c := range map[string]struct {
		object statement.Object
		class  statement.Class
		want   string
	}{
		"EXECUTE s":               {setting("work_mem"), statement.Misc, "allowed"},
		"EXECUTE s (set_config)":  {setting("search_path"), statement.MiscSet, "denied"},
		"EXECUTE s (my_function)": {statement.Object{Name: "f", Kind: "function", Use: statement.UseExecute}, statement.Function, "denied"},
	} {
		h := keepsPrivate(t)
		names(h, c.class, text, c.object)
		h.judge.known[text].Statements[0].Effect = statement.Effect{Kind: statement.EffectExecute, Name: "s"}
		h.client(parse("s", "SELECT salaries"), syncMsg)
		h.backend(parseOK, ready('I'))
		h.client(query(text))
		h.wantLast(" " + c.want + " ")
	}
}

// "$user" in search_path is a schema of whoever the session is.
func TestPathMovesWithTheRole(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"SET ROLE private", "denied"},
		{"SET AUTHORIZATION", "denied"},
		{"RESET ROLE", "allowed"},
		{"RESET AUTHORIZATION", "allowed"},
	} {
		h := keepsPrivate(t)
		h.client(query(c.text))
		h.backend(complete("SET"), ready('I'))
		h.client(query("SELECT salaries"))
		if got := h.last(); !strings.Contains(got, " "+c.want+" ") {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
	h := keepsPrivate(t)
	h.client(query("SET AUTHORIZATION"))
	h.backend(complete("SET"), ready('I'))
	h.m.path = auth.PathDefault
	h.client(query("RESET ROLE")) // of none
	h.client(query("SELECT salaries"))
	h.wantLast(" allowed ")
	h.client(query("RESET AUTHORIZATION"))
	h.client(query("SELECT salaries"))
	h.wantLast(" denied ")
}

// So it is where there is a catalog, which does not know each role.
func TestPathMovesWithARoleThatTheCatalogDoesNotKnow(t *testing.T) {
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.*")
	c := withCatalog(t, deny, Options{Parameters: map[string]string{"search_path": `"$user", public`}})
	names(c.harness, statement.MiscSet, "SET ROLE private", setting("role"))
	c.judge.known["SET ROLE private"].Statements[0].Effect = statement.Effect{Kind: statement.EffectRole, Name: "private", Hold: true}
	c.says(t, "SET ROLE private")
	c.expects(t, "READ open", "denied syntactic doubt=resolution")
	// The path by itself is what it was.
	c = withCatalog(t, anything(), Options{})
	names(c.harness, statement.MiscSet, "SET ROLE app", setting("role"))
	c.judge.known["SET ROLE app"].Statements[0].Effect = statement.Effect{Kind: statement.EffectRole, Name: "app", Hold: true}
	c.says(t, "SET ROLE app")
	c.expects(t, "READ plain", "allowed resolved public.plain/name")
}

// What is behind a name that is looked up late can be anything of that name.
func TestLateNamesAreNotResolved(t *testing.T) {
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.t")
	c := withCatalog(t, deny, Options{})
	names(c.harness, statement.Function, "DO sets", setting("search_path"), lateRead("plain"), lateRead("w"))
	names(c.harness, statement.Function, "DO plain", lateRead("plain"))
	c.expects(t, "DO plain", "allowed resolved public.plain/name")
	c = withCatalog(t, deny, Options{})
	names(c.harness, statement.Function, "DO sets", setting("search_path"), lateRead("v"))
	c.expects(t, "DO sets", "denied syntactic")
}
