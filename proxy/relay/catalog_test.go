package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

// known makes a catalog: public.v is a view of private.t, and public.plain a table;
// private.v and public.f are there, too.
func known(tb testing.TB) *catalog.Database {
	tb.Helper()
	b := catalog.NewBuilder(1 << 20)
	for _, err := range []error{
		b.Schema(1, "public"), b.Schema(2, "private"), b.Schema(3, "pg_catalog"),
		b.Relation(10, 1, "v", 'v'), b.Relation(11, 2, "t", 'r'), b.Relation(12, 1, "plain", 'r'), b.Relation(13, 2, "open", 'r'),
		b.Relation(14, 1, "w", 'v'), b.Rewritten(14, '1', 12, false),
		b.Rewritten(10, '1', 11, false),
		b.Routine(20, 1, "f", catalog.Traits{Kind: 'f', Volatility: 'v', Definer: true, Languages: []string{"plpgsql"}}),
		b.Routine(21, 1, "g", catalog.Traits{Kind: 'f', Volatility: 'i', Languages: []string{"sql"}}),
		b.Routine(22, 2, "g", catalog.Traits{Kind: 'f', Volatility: 's', Languages: []string{"sql"}}),
		b.Usage("app", "public"), b.Usage("app", "private"), b.Setting("app", "public"),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	s, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return catalog.Still(s)
}

// names adds texts to the phrasebook with what they name.
func names(h *harness, class statement.Class, text string, objects ...statement.Object) {
	st := statement.Statement{Command: strings.Fields(text)[0], Class: class, Text: text, Objects: objects}
	switch text {
	case "ROLLBACK":
		st.Effect.Kind = statement.EffectRollback
	case "CREATE TEMP":
		st.Effect.Kind = statement.EffectTemporary
	}
	h.judge.known[text] = &statement.Judgement{Statements: []statement.Statement{st}, Class: class}
}

func reads(name string) statement.Object {
	schema, rel, found := strings.Cut(name, ".")
	if !found {
		schema, rel = "", name
	}
	return statement.Object{Schema: schema, Name: rel, Kind: "relation", Use: statement.UseRead}
}

// witness is a recorder that keeps what the newest statement resolved to.
type witness struct {
	*notes
	said string
}

func (w *witness) Record(e *audit.Event) (audit.Receipt, error) {
	if e.Type == audit.Statement {
		w.said = string(e.Decision) + " " + string(e.Resolution)
		for _, r := range e.Resolved {
			w.said += fmt.Sprintf(" %s.%s/%s", r.Schema, r.Name, r.Through)
			if r.Facts != "" {
				w.said += "(" + r.Facts + ")"
			}
		}
		if e.Doubt != 0 {
			w.said += " doubt=" + e.Doubt.String()
		}
		w.said = strings.Clone(w.said)
	}
	return w.notes.Record(e)
}

type catalogued struct {
	*harness
	w *witness
	d *catalog.Database
}

func withCatalog(t *testing.T, grant *auth.Grant, opt Options) *catalogued {
	t.Helper()
	c := &catalogued{harness: &harness{notes: &notes{}, judge: newPhrasebook()}, d: known(t)}
	c.w = &witness{notes: c.notes}
	if opt.Parameters == nil {
		opt.Parameters = map[string]string{}
	}
	opt.Parameters["client_encoding"], opt.Parameters["standard_conforming_strings"] = "UTF8", "on"
	opt.Judge, opt.Recorder, opt.Grant, opt.MaxMessage = c.judge, c.w, grant, 1<<16
	opt.Incident, opt.Role, opt.Catalog = func() string { return "incident" }, "app", c.d
	c.m = New(opt)
	for _, n := range []string{"public.v", "v", "plain", "public.plain", "open", "w", "public.w", "gone"} {
		names(c.harness, statement.Read, "READ "+n, reads(n))
	}
	names(c.harness, statement.Function, "CALLS f", statement.Object{Name: "f", Kind: "function", Use: statement.UseExecute})
	names(c.harness, statement.Function, "CALLS g", statement.Object{Name: "g", Kind: "function", Use: statement.UseExecute})
	names(c.harness, statement.MiscSet, "PATH", statement.Object{Name: "search_path", Kind: "setting", Use: statement.UseAlter})
	names(c.harness, statement.DDL, "ALTERS", statement.Object{Schema: "public", Name: "v", Kind: "view", Use: statement.UseAlter})
	names(c.harness, statement.DDL, "CREATE v", statement.Object{Name: "v", Kind: "table", Use: statement.UseCreate})
	names(c.harness, statement.DDL, "CREATE TEMP", statement.Object{Name: "v", Kind: "table", Use: statement.UseCreate})
	names(c.harness, statement.Misc, "ROLLBACK")
	names(c.harness, statement.Read, "NOTHING")
	return c
}

// says sends a text and has the backend answer with what follows.
func (c *catalogued) says(t *testing.T, text string, answer ...[]byte) string {
	t.Helper()
	c.w.said = ""
	c.out.Reset()
	c.m.Client(1, query(text), &c.out)
	if len(answer) == 0 {
		answer = [][]byte{complete("OK"), ready('I')}
	}
	if strings.HasPrefix(c.w.said, "denied") {
		answer = [][]byte{msg('E', []byte("SERROR\x00C42601\x00Mno\x00\x00")), ready('I')}
	}
	c.out.Reset()
	if _, err := c.m.Backend(2, join(answer...), &c.out); err != nil {
		t.Fatal(err)
	}
	return c.w.said
}

func reported(path string) []byte { return msg('S', "search_path", path) }

func (c *catalogued) expects(t *testing.T, text, want string, answer ...[]byte) {
	t.Helper()
	if got := c.says(t, text, answer...); got != want {
		t.Errorf("%s: %q, want %q", text, got, want)
	}
}

func patterns(t *testing.T, list ...string) []auth.Pattern {
	t.Helper()
	var out []auth.Pattern
	for _, s := range list {
		p, err := auth.NewPattern(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func anything() *auth.Grant {
	return &auth.Grant{Rule: "r", Classes: 1<<len(statement.ClassNames()) - 1, Tags: 1<<len(statement.TagNames()) - 1}
}

// x.f is a call where there is such a function, and what it does is not known.
func TestFieldsThatAreFunctions(t *testing.T) {
	const f = " public.f/name(volatile, security definer, plpgsql)"
	fields := func(c *catalogued) {
		for _, name := range []string{"f", "g", "none"} {
			names(c.harness, statement.Read, "SELECT x."+name)
			c.judge.known["SELECT x."+name].Statements[0].Fields = []string{name}
		}
	}
	c := withCatalog(t, anything(), Options{})
	fields(c)
	c.expects(t, "SELECT x.none", "allowed ")
	c.expects(t, "READ plain", "allowed resolved public.plain/name")
	c.expects(t, "SELECT x.f", "allowed syntactic"+f)
	if said := strings.Join(c.notes.lines, "\n"); !strings.Contains(said, `allowed READ,FUNCTION "SELECT x.f"`) {
		t.Errorf("recorded %s", said)
	}
	c.expects(t, "READ plain", "allowed syntactic doubt=resolution")
	reads := anything()
	reads.Classes &^= statement.Function
	c = withCatalog(t, reads, Options{})
	fields(c)
	c.expects(t, "SELECT x.f", "denied syntactic"+f)
	if said := strings.Join(c.notes.lines, "\n"); !strings.Contains(said, "class FUNCTION") {
		t.Errorf("recorded %s", said)
	}
	c.expects(t, "SELECT x.none", "allowed ")
	// In which schema it is where the path is not known, nobody knows.
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.*")
	c = withCatalog(t, deny, Options{})
	fields(c)
	c.expects(t, "SELECT x.g", "allowed syntactic public.g/name(immutable, sql)")
	c = withCatalog(t, deny, Options{})
	fields(c)
	c.expects(t, "PATH", "allowed ")
	c.expects(t, "SELECT x.g", "denied syntactic public.g/name(immutable, sql) private.g/name(stable, sql)")
}

func TestNamesAreResolved(t *testing.T) {
	c := withCatalog(t, anything(), Options{})
	const f = " public.f/name(volatile, security definer, plpgsql)"
	c.expects(t, "READ public.v", "allowed resolved private.t/view")
	c.expects(t, "READ v", "allowed resolved public.v/name private.t/view")
	c.expects(t, "READ public.plain", "allowed resolved")
	c.expects(t, "READ gone", "allowed syntactic")
	c.expects(t, "NOTHING", "allowed ")
	// The path is known until something may have changed it.
	c.expects(t, "PATH", "allowed ")
	c.expects(t, "READ plain", "allowed syntactic doubt=resolution")
	c.expects(t, "READ public.v", "allowed resolved private.t/view")
	c.expects(t, "CALLS f", "allowed syntactic doubt=resolution")
	c = withCatalog(t, anything(), Options{})
	c.expects(t, "CALLS f", "allowed resolved"+f)
	c.expects(t, "READ plain", "allowed syntactic doubt=resolution")
	// Of functions of one name it may be the one of a schema further on.
	c = withCatalog(t, anything(), Options{})
	c.expects(t, "CALLS g", "allowed resolved public.g/name(immutable, sql)")
	c = withCatalog(t, anything(), Options{SearchPath: "public, private"})
	c.expects(t, "CALLS g", "allowed syntactic public.g/name(immutable, sql) private.g/name(stable, sql)")
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.*")
	c = withCatalog(t, deny, Options{SearchPath: "public, private"})
	c.expects(t, "CALLS g", "denied syntactic public.g/name(immutable, sql) private.g/name(stable, sql)")
	// A temporary relation may stand before others of its name.
	c = withCatalog(t, anything(), Options{})
	c.expects(t, "CREATE TEMP", "allowed ")
	c.expects(t, "READ v", "allowed syntactic public.v/name private.t/view doubt=resolution")
	c.expects(t, "READ public.v", "allowed resolved private.t/view")
	c = withCatalog(t, anything(), Options{})
	names(c.harness, statement.DDL, "CREATE TEMP AS EXECUTE", statement.Object{Name: "v", Kind: "table", Use: statement.UseCreate})
	c.judge.known["CREATE TEMP AS EXECUTE"].Statements[0].Effect = statement.Effect{Kind: statement.EffectExecute, Name: "p", Hold: true}
	c.says(t, "PREPARE p AS SELECT 1")
	c.says(t, "CREATE TEMP AS EXECUTE")
	c.m.SetCatalog(known(t)) // read since
	c.expects(t, "READ v", "allowed syntactic public.v/name private.t/view doubt=resolution")
}

func TestPathThatTheBackendReports(t *testing.T) {
	c := withCatalog(t, anything(), Options{Parameters: map[string]string{"search_path": "private"}})
	c.expects(t, "READ open", "allowed resolved private.open/name")
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("public"), ready('I'))
	c.expects(t, "READ open", "allowed syntactic doubt=resolution")
	c.expects(t, "READ plain", "allowed resolved public.plain/name")
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("private, public"), ready('T'))
	c.expects(t, "READ open", "allowed resolved private.open/name", complete("OK"), ready('T'))
	// A table that was made where nobody could tell may be temporary, and stay.
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("pg_temp, public"), ready('I'))
	c.expects(t, "READ v", "allowed syntactic doubt=resolution")
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("public"), ready('I'))
	c.d.Changed()
	c.d = known(t)
	c.m.SetCatalog(c.d)
	c.expects(t, "READ v", "allowed resolved public.v/name private.t/view")
	c.says(t, "CREATE v")
	c.expects(t, "READ v", "allowed syntactic public.v/name private.t/view doubt=resolution")
	c.m.SetCatalog(known(t))
	c.expects(t, "READ v", "allowed resolved public.v/name private.t/view")
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("pg_temp, public"), ready('I'))
	c.says(t, "CREATE v")
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("public"), ready('I'))
	c.m.SetCatalog(known(t))
	c.expects(t, "READ v", "allowed syntactic public.v/name private.t/view doubt=resolution")
	c = withCatalog(t, anything(), Options{Parameters: map[string]string{"search_path": "private"}})
	c.expects(t, "PATH", "allowed ", complete("SET"), reported("private, public"), ready('T'))
	// What a rollback makes of it is not known before the backend says so.
	c.m.Client(1, join(query("ROLLBACK"), query("READ open")), &c.out)
	if c.w.said != "allowed syntactic doubt=resolution" {
		t.Errorf("behind a rollback: %s", c.w.said)
	}
}

// A portal's names were looked up when it was bound.
func TestPortalsKeepTheirPath(t *testing.T) {
	c := withCatalog(t, anything(), Options{Parameters: map[string]string{"search_path": "public"}})
	c.m.Client(1, join(parse("", "READ plain"), bind("p", ""), execute("p", 0), syncMsg), &c.out)
	if c.w.said != "allowed resolved public.plain/name" {
		t.Errorf("at once: %s", c.w.said)
	}
	if _, err := c.m.Backend(2, join(parseOK, bindOK, complete("OK"), ready('T')), &c.out); err != nil {
		t.Fatal(err)
	}
	c.m.Client(1, join(parse("", "READ plain"), bind("p", ""), syncMsg), &c.out)
	if _, err := c.m.Backend(2, join(parseOK, bindOK, ready('T')), &c.out); err != nil {
		t.Fatal(err)
	}
	c.says(t, "PATH", complete("SET"), reported("private"), ready('T'))
	c.m.Client(1, join(execute("p", 0), syncMsg), &c.out)
	if c.w.said != "allowed syntactic doubt=resolution" {
		t.Errorf("under another path: %s", c.w.said)
	}
}

func TestWhatStandsBehindCanOnlyDeny(t *testing.T) {
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.t")
	c := withCatalog(t, deny, Options{})
	c.expects(t, "READ public.v", "denied resolved private.t/view")
	c.expects(t, "READ v", "denied resolved public.v/name private.t/view")
	c.expects(t, "READ public.w", "allowed resolved public.plain/view")
	// It denies in doubt, too: by then v can be any.
	c.expects(t, "PATH", "allowed ")
	c.expects(t, "READ v", "denied syntactic doubt=resolution")
	c.expects(t, "READ w", "allowed syntactic doubt=resolution")
	// And when it is old.
	c.d.Changed()
	c.expects(t, "READ public.v", "denied syntactic private.t/view")
	// A portal is denied at Parse.
	c.m.Client(1, join(parse("", "READ public.v"), syncMsg), &c.out)
	if !strings.HasPrefix(c.w.said, "denied") {
		t.Errorf("a Parse is %s", c.w.said)
	}
	observe := *deny
	observe.Mode = auth.Observe
	c = withCatalog(t, &observe, Options{})
	c.expects(t, "READ public.v", "would_deny resolved private.t/view")

	// What lets pass goes by the names, and by what they stand for: not by what is behind.
	allow := anything()
	allow.Objects = patterns(t, "public.*")
	c = withCatalog(t, allow, Options{})
	c.expects(t, "READ public.v", "allowed resolved private.t/view")
	c.expects(t, "READ v", "allowed resolved public.v/name private.t/view")
	c = withCatalog(t, allow, Options{SearchPath: "private", Path: auth.PathDefault})
	c.expects(t, "READ open", "denied resolved private.open/name")
}

// Who gives a view another name could read it by that, before anybody knows it.
func TestWhatIsRenamedIsJudgedAsRead(t *testing.T) {
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.t")
	c := withCatalog(t, deny, Options{})
	altered := func(command string, o statement.Object) string {
		o.Use = statement.UseAlter
		names(c.harness, statement.DDL, command, o)
		st := &c.judge.known[command].Statements[0]
		if st.Command = command; command == "DO" {
			st.Tags = statement.TagProcedural
		}
		decision, _, _ := strings.Cut(c.says(t, command), " ")
		return decision
	}
	view := statement.Object{Schema: "public", Name: "v", Kind: "view"}
	schema := statement.Object{Name: "public", Kind: "schema"}
	for _, tt := range []struct {
		command string
		object  statement.Object
		want    string
	}{
		{"ALTER VIEW", view, "denied"},
		{"DO", view, "denied"},
		{"ALTER VIEW", statement.Object{Schema: "public", Name: "w", Kind: "view"}, "allowed"},
		{"COMMENT", view, "allowed"},
		{"CREATE TRIGGER", view, "allowed"},
		{"ALTER SCHEMA", schema, "denied"},
		{"ALTER SCHEMA", statement.Object{Name: "pg_catalog", Kind: "schema"}, "allowed"},
		{"ALTER DEFAULT PRIVILEGES", schema, "allowed"},
		{"GRANT", schema, "allowed"},
	} {
		if got := altered(tt.command, tt.object); got != tt.want {
			t.Errorf("%s on %+v: %s, want %s", tt.command, tt.object, got, tt.want)
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	c := withCatalog(t, anything(), Options{})
	fresh := func() bool {
		_, current := c.d.View()
		return current
	}
	if !fresh() {
		t.Fatal("the catalog is not as of now")
	}
	c.says(t, "CREATE TEMP")
	if !fresh() {
		t.Error("a temporary table changes the catalog")
	}
	c.m.Client(1, query("ALTERS"), &c.out)
	if fresh() {
		t.Error("what is sent does not change the catalog at once")
	}
	if _, err := c.m.Backend(2, join(complete("OK"), ready('I')), &c.out); err != nil {
		t.Fatal(err)
	}
	c.expects(t, "READ public.v", "allowed syntactic private.t/view")
}

func TestNoAllocationWithACatalog(t *testing.T) {
	deny := anything()
	deny.DeniedObjects = patterns(t, "private.other", "secret.*")
	c := withCatalog(t, deny, Options{})
	c.notes.quiet = true
	c.m.opt.Recorder = c.notes
	for _, text := range []string{"READ v", "READ public.v", "READ plain", "NOTHING"} {
		e := exchange{text, query(text), join(complete("OK"), ready('I'))}
		c.once(t, e)
		if n := testing.AllocsPerRun(100, func() { c.once(t, e) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func BenchmarkCatalog(b *testing.B) {
	h := steady(b)
	names(h, statement.Read, "READ v", reads("v"))
	g := anything()
	h.m.SetGrant(g)
	e := exchange{"v", query("READ v"), join(complete("OK"), ready('I'))}
	for _, d := range []*catalog.Database{nil, known(b)} {
		b.Run(fmt.Sprint(d != nil), func(b *testing.B) {
			h.m.opt.Role = "app"
			h.m.SetCatalog(d)
			b.ReportAllocs()
			for b.Loop() {
				h.once(b, e)
			}
		})
	}
}

// A path that the backend reports is followed however long it is, and one that is too long
// to be looked at is not taken for the one before it.
func TestLongPathIsNotKnown(t *testing.T) {
	c := withCatalog(t, anything(), Options{Parameters: map[string]string{"search_path": "public"}})
	const resolved, unknown = "allowed resolved public.v/name private.t/view", "allowed syntactic doubt=resolution"
	c.expects(t, "READ v", resolved)
	c.says(t, "PATH", complete("SET"), reported("private, "+strings.Repeat("x", 2*peekSize)), ready('I'))
	c.expects(t, "READ v", unknown)
	c.says(t, "PATH", complete("SET"), reported("public"), ready('I'))
	c.expects(t, "READ v", resolved)
}
