package pgparse

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// A function gains no trust by its name: only an unqualified one, or one of
// pg_catalog, is taken for PostgreSQL's own.
func TestTrustInFunctions(t *testing.T) {
	for name, want := range map[string]statement.Class{
		"lower":              0,
		"pg_catalog.lower":   0,
		"public.lower":       function,
		"evil.random":        function,
		"evil.nextval":       function,
		"evil.set_config":    function,
		"evil.pg_read_file":  function,
		"nextval":            write,
		"pg_catalog.nextval": write,
		"evil.dblink":        function,
		"dblink_new_thing":   function,
		"no_such_function":   function,
		"lo_unlink":          function | write,
		"evil.get_raw_page":  function | read,
	} {
		if got := Read("VALUES ("+name+"('a'))").Class &^ read; got != want&^read {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A function of an extension counts for a function of the database's own at
// least: its schema could hold another one of that name.
func TestExtensionsAreFunctions(t *testing.T) {
	names := functionTable()[ofExtensions]
	for name, a := range names.exact {
		if a.class&function == 0 {
			t.Errorf("%s: %s", name, a.class)
		}
	}
	for _, p := range names.prefixes {
		if p.action.class&function == 0 {
			t.Errorf("%s*: %s", p.part, p.action.class)
		}
	}
}

// Text that a function runs is followed, here and on another server.
func TestTextThatFunctionsRun(t *testing.T) {
	for _, c := range []struct {
		text    string
		class   statement.Class
		tags    statement.Tag
		objects string
	}{
		{"SELECT query_to_xml('SELECT * FROM private.x', true, true, '')", read | function, dynamic, "query_to_xml private.x"},
		{"SELECT query_to_xml(nulls => true, query => 'SELECT * FROM x', tableforest => true, targetns => '')", read | function, dynamic, "query_to_xml x"},
		{"SELECT * FROM ts_stat('TABLE private.x')", read | function, dynamic, "ts_stat private.x"},
		{"SELECT ts_rewrite('a'::tsquery, 'SELECT t, s FROM x')", read | function, dynamic, "ts_rewrite x"},
		{"SELECT ts_rewrite('a & b'::tsquery, 'a'::tsquery, 'c'::tsquery)", read | function, dynamic, "ts_rewrite"},
		{"SELECT * FROM crosstab('SELECT * FROM x', 'SELECT 1 FROM y') AS c (a int)", read | function, dynamic, "crosstab x y"},
		{"SELECT dblink_exec('other', 'DROP TABLE x')", ddl | function, dynamic | external | destructive | tDDL, "dblink_exec"},
		{"SELECT dblink('dbname=a', 'DELETE FROM x RETURNING 1')", write | function, dynamic | external | destructive, "dblink"},
		{"SELECT * FROM dblink('select' || ' 1') AS t (a int)", read | function, dynamic | external, "dblink"},
		{"SELECT cron.schedule('x', '0 3 * * *', 'TRUNCATE t')", write | function, dynamic | destructive, "cron.schedule"},
		{"SELECT table_to_xml('private.x', true, true, '')", read | function, statement.TagBulkExport, "table_to_xml private.x"},
		{"SELECT schema_to_xml('private', true, true, '')", read | function, statement.TagBulkExport | dynamic, "schema_to_xml private private.*"},
		{"SELECT currval('s.q'), get_raw_page('s.t', 0)", read | function, 0, "currval s.q get_raw_page s.t"},
		{"SELECT nextval('\"Q\"'::regclass)", write, 0, "nextval Q"},
		// A relation that the text does not tell.
		{"SELECT table_to_xml(c.oid, true, false, '') FROM pg_class c", read | function, statement.TagBulkExport, "table_to_xml *.* pg_class"},
		{"SELECT table_to_xml(lower('X')::regclass, true, false, '')", read | function, statement.TagBulkExport, "table_to_xml *.*"},
		{"SELECT schema_to_xml($1, true, true, '')", read | function, statement.TagBulkExport | dynamic, "schema_to_xml *"},
		{"SELECT nextval($1)", write, 0, "nextval *.*"},
		{"SELECT nextval(16400)", write, 0, "nextval *.*"},
		{"SELECT nextval('16400')", write, 0, "nextval *.*"},
		{"SELECT nextval('16400'::oid)", write, 0, "nextval *.*"},
		{"SELECT nextval('a b')", write, 0, "nextval *.*"},
		{"SELECT nextval(E'private\v.q')", write, 0, "nextval *.*"},
		{"SELECT nextval(NULL)", write, 0, "nextval"},
		{"SELECT nextval('\"16400\"')", write, 0, "nextval 16400"},
		{"SELECT nextval(E'\\t\"Private\"\\n. \\fQ\\r')", write, 0, "nextval Private.q"},
		{"SELECT nextval('\"a\"\".b\".c')", write, 0, `nextval a".b.c`},
		{"SELECT nextval('" + strings.Repeat("x", 62) + "éy')", write, 0, "nextval " + strings.Repeat("x", 62)},
		{"SELECT setval(pg_get_serial_sequence('\"App\"', 'id'), 5)", write, 0, "setval App"},
		{"SELECT setval(pg_get_serial_sequence($1, 'id'), 5)", write, 0, "setval *.*"},
		{"SELECT lo_unlink(5), lo_truncate(0, 0)", write | function, destructive, "lo_unlink lo_truncate"},
		{"SELECT pg_advisory_lock(1)", statement.Misc, statement.TagSession, "pg_advisory_lock"},
	} {
		j := Read(c.text)
		if j.Class&c.class != c.class || j.Tags != c.tags || j.Class&statement.Unknown != 0 {
			t.Errorf("%s\n\t%s | %s, want %s | %s", c.text, j.Class, j.Tags, c.class, c.tags)
		}
		var names []string
		for _, o := range j.Statements[0].Objects {
			names = append(names, qualified(o))
		}
		if got := strings.Join(names, " "); got != c.objects {
			t.Errorf("%s\n\tobjects %q, want %q", c.text, got, c.objects)
		}
	}
	if j := Read("SELECT query_to_xml('SELEC 1', true, true, '')"); j.Class&statement.Unknown == 0 {
		t.Errorf("a query that cannot be read: %s", j.Class)
	}
	if j := Read("SELECT dblink_exec('c', 'ALTER ROLE a PASSWORD ''hidden''')"); strings.Contains(j.Statements[0].Text, "hidden") {
		t.Errorf("a password for another server is kept: %s", j.Statements[0].Text)
	}
}

// A FunctionCall message says what a call in SQL says.
func TestFastpathIsTheTable(t *testing.T) {
	known := 0
	for oid := uint32(1); oid < 10_000; oid++ {
		s := statement.Fastpath(oid)
		if s.Class&statement.Unknown != 0 {
			continue
		}
		known++
		a := functionAction("pg_catalog", s.Objects[0].Name)
		if a == nil || s.Class != a.class || s.Tags != a.tags|statement.TagFastpath {
			t.Errorf("%d %s: %s | %s", oid, s.Objects[0].Name, s.Class, s.Tags)
		}
	}
	if known == 0 {
		t.Error("no function is known")
	}
}

func TestFunctionTableIsStrict(t *testing.T) {
	for _, text := range []string{
		"== a\nf | READ | | x", "== a\nf | REED | | | x", "== a\nf | READ | no_tag | | x", "== a\nf | READ | | one SQL | x", "== a\nf | READ | | 1/x SQL | x",
	} {
		if _, err := readFunctions(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
