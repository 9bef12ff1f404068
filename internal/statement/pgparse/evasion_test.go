package pgparse

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

const (
	destructive = statement.TagDestructive
	roleChange  = statement.TagRoleChange
	dynamic     = statement.TagDynamicSQL
	external    = statement.TagExternalIO
)

// evasions are what hides: the classes and tags that must be found at least.
var evasions = []struct {
	text  string
	class statement.Class
	tags  statement.Tag
}{
	// Every row, by a condition that only looks like one.
	{"DELETE FROM t WHERE true", write, destructive},
	{"DELETE FROM t WHERE 't'", write, destructive},
	{"DELETE FROM t WHERE 1=1", write, destructive},
	{"DELETE FROM t WHERE 1 = 1.0", write, destructive},
	{"DELETE FROM t WHERE 'a'='a'", write, destructive},
	{"DELETE FROM t WHERE id=id", write, destructive},
	{"DELETE FROM t WHERE t.id = id", write, destructive},
	{"DELETE FROM t WHERE id::text = id", write, destructive},
	{"DELETE FROM t WHERE NOT false", write, destructive},
	{"DELETE FROM t WHERE NOT (1 = 2)", write, destructive},
	{"DELETE FROM t WHERE NOT NOT true", write, destructive},
	{"DELETE FROM t WHERE true OR id = 5", write, destructive},
	{"DELETE FROM t WHERE id = 5 OR 1 < 2", write, destructive},
	{"DELETE FROM t WHERE id = 5 OR NOT id = 5", write, destructive},
	{"DELETE FROM t WHERE id IS NULL OR id IS NOT NULL", write, destructive},
	{"DELETE FROM t WHERE id < 5 OR id >= 5", write, destructive},
	{"DELETE FROM t WHERE true AND 2 > 1", write, destructive},
	{"DELETE FROM t WHERE 1 IS NOT NULL", write, destructive},
	{"DELETE FROM t WHERE NULL IS NULL", write, destructive},
	{"DELETE FROM t WHERE true IS NOT FALSE", write, destructive},
	{"DELETE FROM t WHERE 1 IN (1, 2)", write, destructive},
	{"DELETE FROM t WHERE id IN (id)", write, destructive},
	{"DELETE FROM t WHERE (id = 1) IN (true, false)", write, destructive},
	{"DELETE FROM t WHERE id = ANY (ARRAY[id])", write, destructive},
	{"DELETE FROM t WHERE 2 BETWEEN 1 AND 3", write, destructive},
	{"DELETE FROM t WHERE name LIKE '%'", write, destructive},
	{"DELETE FROM t WHERE name ~ ''", write, destructive},
	{"DELETE FROM t WHERE 1+1=2", write, destructive},
	{"DELETE FROM t WHERE 'a'||'b' = 'ab'", write, destructive},
	{"DELETE FROM t WHERE 1::boolean", write, destructive},
	{"DELETE FROM t WHERE CAST('yes' AS boolean)", write, destructive},
	{"DELETE FROM t WHERE bool 'on'", write, destructive},
	{"DELETE FROM t WHERE (SELECT true)", write, destructive},
	{"DELETE FROM t WHERE EXISTS (SELECT 1)", write, destructive},
	{"DELETE FROM t WHERE EXISTS (SELECT 1 FROM u)", write, destructive},
	{"DELETE FROM t WHERE id IN (SELECT id FROM t)", write, destructive},
	{"DELETE FROM t WHERE COALESCE(true, id = 1)", write, destructive},
	{"DELETE FROM t WHERE CASE WHEN true THEN true ELSE false END", write, destructive},
	{"DELETE FROM t WHERE CASE id WHEN 1 THEN true ELSE true END", write, destructive},
	{"DELETE FROM t WHERE lower(a) = lower(a)", write, destructive},
	{"DELETE FROM t WHERE id IS NOT DISTINCT FROM id", write, destructive},
	{"DELETE FROM t WHERE $1 = $1", write, destructive},
	{"DELETE/**/FROM/* WHERE id=1 */ONLY t -- WHERE", write, destructive},
	{"delete from t\rwhere/*/**/*/true", write, destructive},
	{`DELETE FROM U&"\0074" WHERE U&'\0061' = 'a'`, write, destructive},
	{"DELETE FROM t USING u", write, destructive},
	{"UPDATE t SET a = 1 FROM u", write, destructive},
	{"UPDATE t SET a = 1 WHERE 1=1", write, destructive},
	{"MERGE INTO t USING u ON 1=1 WHEN MATCHED THEN DELETE", write, destructive},
	{"MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE THEN DELETE", write, destructive},
	{"MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET a = 1", write, destructive},
	// Inside something else.
	{"WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM d", read | write, destructive},
	{"WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b), c AS (UPDATE t SET a=1 RETURNING 1) TABLE c", read | write, destructive},
	{"INSERT INTO a WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", read | write, destructive},
	{"EXPLAIN (ANALYZE) DELETE FROM t", write, destructive},
	{"EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t", write, destructive},
	{"EXPLAIN (analyze 1) WITH d AS (DELETE FROM t RETURNING 1) SELECT 1", read | write, destructive},
	{"EXPLAIN ANALYZE VERBOSE CREATE TABLE x AS WITH d AS (DELETE FROM t RETURNING *) TABLE d", read | write, destructive},
	{"PREPARE p AS DELETE FROM t", write, destructive},
	{"PREPARE p (int) AS WITH d AS (DELETE FROM t RETURNING 1) SELECT 1", read | write, destructive},
	{"COPY (WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d) TO STDOUT", read | write, destructive},
	{"COPY (UPDATE t SET a = 1 RETURNING *) TO STDOUT", write, destructive},
	{"CREATE TABLE x AS WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", read | write, destructive},
	{"CREATE RULE r AS ON INSERT TO a DO ALSO (UPDATE t SET a=1; DELETE FROM t)", ddl, destructive},
	{"SELECT 1; SELECT 2; DROP TABLE t", read | ddl, destructive},
	{"SELECT 1;;;/* */TRUNCATE t", read | write, destructive},
	{"TRUNCATE TABLE ONLY t RESTART IDENTITY CASCADE", write, destructive},
	{"CREATE SCHEMA s GRANT ALL ON t TO bob", ddl | role, statement.TagPrivilege},
	// In bodies.
	{"DO $$BEGIN DELETE FROM t; END$$", write | function, destructive},
	{"DO 'BEGIN DELETE FROM t WHERE ''a'' = ''a''; END'", write | function, destructive},
	{`DO E'BEGIN D\x45LETE FROM t; END'`, write | function, destructive},
	{"DO LANGUAGE plpgsql $x$DECLARE a int; BEGIN IF a > 1 THEN LOOP TRUNCATE t; END LOOP; END IF; END$x$", write | function, destructive},
	{"DO $$BEGIN BEGIN NULL; EXCEPTION WHEN OTHERS THEN DROP TABLE t; END; END$$", ddl | function, destructive},
	{"DO $$BEGIN CASE 1 WHEN 1 THEN NULL; ELSE DROP TABLE t; END CASE; END$$", ddl | function, destructive},
	{"DO $$DECLARE r record; BEGIN FOR r IN DELETE FROM t RETURNING * LOOP NULL; END LOOP; END$$", write | function, destructive},
	{"DO $$DECLARE n int; BEGIN DELETE FROM t RETURNING 1 INTO n; END$$", write | function, destructive},
	{"DO $$BEGIN EXECUTE 'DROP TABLE t'; END$$", ddl | function, destructive | dynamic},
	{"DO $$BEGIN EXECUTE 'DR' || 'OP TABLE t'; END$$", function, dynamic},
	{"DO $$BEGIN EXECUTE format('DROP TABLE %I', 't'); END$$", function, dynamic},
	{"DO $$DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT 1' LOOP END LOOP; END$$", function, dynamic},
	{"DO $$DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'SELECT 1'; END$$", function, dynamic},
	{"DO $$DECLARE x text := set_config('role', 'x', false); BEGIN END$$", function | miscSet, roleChange},
	{"DO $$DECLARE r t := set_config('role', 'x', false); BEGIN END$$", function | miscSet, roleChange},
	{"DO $$DECLARE x text; BEGIN x := set_config('role', 'x', false); END$$", function | miscSet, roleChange},
	{"DO $$DECLARE a text[]; BEGIN a[1] := set_config('role', 'x', false); END$$", function | miscSet, roleChange},
	{"DO $$BEGIN PERFORM set_config('ro'||'le', 'x', false); END$$", function | miscSet, roleChange},
	{"DO $$BEGIN IF set_config('role', 'x', false) = 'x' THEN END IF; END$$", function | miscSet, roleChange},
	{"DO $$BEGIN RAISE NOTICE '%', set_config('role', 'x', false); END$$", function | miscSet, roleChange},
	{"DO $$BEGIN RESET ROLE; END$$", function | miscSet, roleChange},
	{"DO $$BEGIN DO 'BEGIN DELETE FROM t; END'; END$$", write | function, destructive},
	{"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM t; RETURN new; END$$", ddl, destructive},
	{"CREATE PROCEDURE p() LANGUAGE sql AS $$SELECT 1; TRUNCATE t$$", ddl, destructive},
	{"CREATE FUNCTION f() RETURNS SETOF t LANGUAGE sql BEGIN ATOMIC DELETE FROM t RETURNING *; END", ddl, destructive},
	{"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql SET role = 'x' AS $$BEGIN END$$", ddl, roleChange},
	{"CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS $$SELECT set_config('role','x',false)$$", ddl, roleChange},
	// Functions that act.
	{"SELECT set_config('ROLE', 'x', false)", read | miscSet, roleChange},
	{"SELECT set_config('rolex'::varchar(4)::text, 'x', false)", miscSet, roleChange},
	{"SELECT set_config('role     '::char(20), 'x', false)", miscSet, roleChange},
	{"SET event_triggers = off", miscSet, destructive},
	{"SET event_triggers = 0", miscSet, destructive},
	{"SELECT set_config('event_triggers', $1, false)", miscSet, destructive},
	{"SET lo_compat_privileges TO true", miscSet, tPrivilege},
	{"SET extension_control_path = '/tmp'", miscSet, external},
	{"SELECT run_command_on_workers('DROP TABLE t')", function | ddl, dynamic | external | destructive},
	// Definitions of what acts.
	{"CREATE AGGREGATE a(text, bool) (SFUNC = set_config, STYPE = text, INITCOND = 'role')", ddl, roleChange | tPrivilege},
	{"CREATE OPERATOR ### (FUNCTION = ts_stat, RIGHTARG = text)", ddl, dynamic},
	{"CREATE OPERATOR ### (FUNCTION = pg_catalog.pg_read_file, RIGHTARG = text)", ddl, external},
	{"CREATE AGGREGATE a(oid) (SFUNC = lo_unlink, STYPE = int)", ddl, destructive},
	{"CREATE CAST (text AS y) WITH FUNCTION public.dblink(text)", ddl, dynamic | external},
	// Views that read the server's files.
	{"SELECT * FROM pg_hba_file_rules", read, external},
	{"TABLE pg_catalog.pg_file_settings", read, external},
	{"SELECT cron.schedule(job_name => 'x', schedule => '* * * * *', command => 'DROP TABLE t')", ddl, dynamic | destructive},
	// Conditions on variables alone.
	{"DO $$DECLARE a int := 1; b int := 1; BEGIN DELETE FROM t WHERE a = b; END$$", write, destructive},
	{"DO $$DECLARE yes bool := true; BEGIN UPDATE t SET a = 1 WHERE yes; END$$", write, destructive},
	{"DO $$BEGIN FOR i IN 1..2 LOOP DELETE FROM t WHERE i > 1; END LOOP; END$$", write, destructive},
	{"CREATE FUNCTION f(a int) RETURNS void LANGUAGE plpgsql AS $$BEGIN DELETE FROM t WHERE a = 1; END$$", ddl, destructive},
	{"SELECT set_config(CAST('role!' AS varchar(4)), 'x', false)", miscSet, roleChange},
	{"SELECT set_config((SELECT 'rolex'::varchar(4))::text, 'x', false)", miscSet, roleChange},
	{"SELECT set_config('public.role'::regclass::text, 'x', false)", miscSet, roleChange},
	{"SELECT set_config('session_replication_role', 'replicax'::varchar(7), false)", miscSet, destructive},
	{"DO $$DECLARE a int[]; BEGIN a[length(set_config('role', 'x', false))] := 1; END$$", function | miscSet, roleChange},
	{"DO $$DECLARE a text[]; BEGIN a[(SELECT count(*) FROM b)] := 'x'; END$$", function | read, statement.TagProcedural},
	{"DO $$DECLARE a text[]; BEGIN a[lo_unlink(lo_create(0))] := 'x'; END$$", function | write, statement.TagProcedural},
	{"DO $$DECLARE cursor record := (SELECT b FROM b); BEGIN NULL; END$$", function | read, statement.TagProcedural},
	{"DO $$DECLARE a record := (SELECT b FROM b) cursor; BEGIN NULL; END$$", function | read, statement.TagProcedural},
	{"DO $$DECLARE cursor record := (SELECT ROW(set_config('role', 'x', false), 1)); BEGIN NULL; END$$", function | miscSet, roleChange},
	{"DO $$DECLARE a record := ROW(1) AS begin; b record := (SELECT b FROM b); BEGIN NULL; END$$", function | read, statement.TagProcedural},
	{"DO $$DECLARE a record := ROW(1) begin; b record := (SELECT b FROM b); BEGIN NULL; END$$", function | read, statement.TagProcedural},
	{"SELECT pg_catalog.set_config('role', 'x', false)", miscSet, roleChange},
	{`SELECT "set_config"('role', 'x', false)`, miscSet, roleChange},
	{"SELECT set_config(setting_name => 'role', new_value => 'x', is_local => false)", miscSet, roleChange},
	{"SELECT set_config(is_local => false, new_value => 'x', setting_name => 'role')", miscSet, roleChange},
	{"SELECT set_config(n, 'x', false) FROM names", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'role'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name <> 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name OPERATOR(public.=) 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'work_mem' OR true", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'work_mem' UNION SELECT set_config('role', 'x', false)", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings AS s (setting, name) WHERE name = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM my.pg_settings WHERE name = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings, t WHERE name = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(setting, 'x', false) FROM pg_settings WHERE name = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'role '", miscSet, roleChange}, // a table of that name, with a char(9)
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'rôle'", miscSet, roleChange},  // or a collation
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'", miscSet, roleChange},
	{"SELECT set_config('rolex'::text, 'x', false)", miscSet, roleChange}, // a domain of that name
	{"SELECT set_config('role_x' || ''::name, 'x', false)", miscSet, roleChange},
	{"SELECT set_config('session_replication_role', 'replicas'::text, false)", miscSet, destructive},
	{"SELECT set_config('wor' OPERATOR(my.||) 'k_mem', 'x', false)", miscSet, roleChange},
	{"SELECT set_config('session_replication_role', 'orig' OPERATOR(my.||) 'in', false)", miscSet, destructive},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE setting = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = $1", miscSet, roleChange},
	{"SELECT (SELECT set_config(name, 'x', false) FROM t) FROM pg_settings WHERE name = 'work_mem'", miscSet, roleChange},
	{"SELECT set_config('session_authorization', 'x', false)", miscSet, roleChange},
	{"SELECT set_config($1, $2, false)", miscSet, roleChange},
	{"SELECT * FROM set_config('role', 'x', false)", miscSet, roleChange},
	{"SELECT 1 FROM t ORDER BY set_config('role', 'x', false)", miscSet, roleChange},
	{"VALUES (set_config('role', 'x', false))", miscSet, roleChange},
	{"CREATE TABLE t (a text DEFAULT set_config('role', 'x', false))", ddl, roleChange},
	{"UPDATE pg_settings SET setting = 'x' WHERE name = 'role'", write, roleChange},
	{"SET \"ROLE\" TO x", miscSet, roleChange},
	{"set/**/role/**/x", miscSet, roleChange},
	{`SET ROLE "None"`, miscSet, roleChange | tPrivilege},
	{`SET ROLE "NONE"`, miscSet, roleChange | tPrivilege},
	{"SET SESSION ROLE 'NonE'", miscSet, roleChange | tPrivilege},
	{"SELECT set_config('role', 'NONE', false)", miscSet, roleChange | tPrivilege},
	{`SET U&"r\006fle" = x`, miscSet, roleChange},
	{"SET LOCAL SESSION AUTHORIZATION x", miscSet, roleChange},
	{"SET SESSION AUTHORIZATION 'default'", miscSet, roleChange},
	{"SELECT query_to_xml('DELETE FROM t', true, true, '')", function, dynamic},
	{"SELECT * FROM ts_stat('SELECT 1')", function, dynamic},
	{"SELECT pg_read_file('/etc/passwd')", function, external},
	{"SELECT pg_ls_dir('.')", function, external},
	{"SELECT lo_import('/etc/passwd')", function | write, external},
	{"SELECT public.dblink('host=x', 'DROP TABLE t')", function, external | dynamic},
	{"SELECT nextval('q')", write, 0},
	{"SELECT pg_drop_replication_slot('x')", function, destructive | statement.TagReplication},
	{"SELECT my.lower('x')", function, 0},
	{"SELECT f(x) OVER () FROM t", function, 0},
	{"SELECT * FROM ROWS FROM (lower('a'), f())", function, 0},
	// Tables behind names of CTEs.
	{"ALTER TABLE t DROP COLUMN a, ADD COLUMN b int", ddl, destructive},
	{"REFRESH MATERIALIZED VIEW m WITH NO DATA", ddl, destructive},
	{"ALTER SUBSCRIPTION s SKIP (lsn = '0/14C0378')", ddl, destructive},
	{"SELECT * INTO x FROM t", ddl | read, 0},
	{"SELECT 1 INTO x UNION SELECT 2", ddl | read, 0},
	{"COPY t FROM PROGRAM 'x'", write, external | statement.TagBulkLoad},
}

// TestPinnedSetting is what pg_dump sends so that a server may not know the parameter.
func TestPinnedSetting(t *testing.T) {
	j := Read("SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'")
	if st := &j.Statements[0]; j.Tags != statement.TagSession || j.Class != read|miscSet || !slices.Contains(st.Objects, statement.Object{
		Name: "restrict_nonsystem_relation_kind", Kind: settingKind, Use: statement.UseAlter,
	}) {
		t.Errorf("%v, %v, %+v", j.Class, j.Tags, st.Objects)
	}
}

func TestEvasions(t *testing.T) {
	for _, c := range evasions {
		j := Read(c.text)
		if j.Cause != "" || j.Class&c.class != c.class || j.Tags&c.tags != c.tags {
			t.Errorf("%s\n\t%s | %s %s, want %s | %s", c.text, j.Class, j.Tags, j.Cause, c.class, c.tags)
		}
		if j.Class&statement.Unknown != 0 {
			t.Errorf("%s: unknown", c.text)
		}
	}
}

// What only looks dangerous.
func TestInnocent(t *testing.T) {
	for _, text := range []string{
		"DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE a = b", "DELETE FROM t WHERE false",
		"DELETE FROM t WHERE id = 1 OR id = 2", "DELETE FROM t WHERE true AND id = 1", "DELETE FROM t WHERE 1 = 2",
		"DELETE FROM t WHERE id IN (1, 2)", "DELETE FROM t WHERE id IN (SELECT id FROM u)", "DELETE FROM t WHERE id = $1",
		"DELETE FROM t WHERE name LIKE 'a%'", "DELETE FROM t WHERE a IS NOT NULL", "DELETE FROM t WHERE t.id = u.id",
		"DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id)", "DELETE FROM t WHERE CURRENT OF c",
		"UPDATE t SET a = true WHERE id = 1", "UPDATE t SET a = 1 FROM u WHERE u.id = t.id",
		"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "EXPLAIN DELETE FROM t", "SELECT 'DROP TABLE t'",
		"SELECT 'a -- DROP TABLE t'", "INSERT INTO t VALUES ('TRUNCATE t')", "SELECT \"delete from t\" FROM x",
		"SELECT * FROM t WHERE true", "EXPLAIN (ANALYZE off) DELETE FROM t", "SELECT set_config('work_mem', '1GB', true)",
		"REFRESH MATERIALIZED VIEW m WITH DATA", "ALTER SUBSCRIPTION s SKIP (lsn = NONE)", "DISCARD TEMP", "DISCARD ALL",
		"DO $$BEGIN DELETE FROM t WHERE id = 1; END$$", "COMMENT ON TABLE t IS 'DROP'", "SHOW role",
		"INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2", "ALTER TABLE t ADD COLUMN dropped int",
		"SELECT coalesce(a, 1), extract(year from b), position('a' in c), trim(d), now() AT TIME ZONE 'UTC' FROM t",
		"SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP",
		"SELECT sum(a) FILTER (WHERE b), rank() OVER (ORDER BY c), array_agg(d) FROM t",
	} {
		j := Read(text)
		if j.Cause != "" || j.Tags&(destructive|roleChange|dynamic) != 0 {
			t.Errorf("%s\n\t%s | %s %s", text, j.Class, j.Tags, j.Cause)
		}
		if !strings.HasPrefix(text, "DO") && j.Class&statement.Function != 0 {
			t.Errorf("%s: takes a function for the database's own", text)
		}
	}
}

// A name that WITH gives hides a table only where it is in scope.
func TestScope(t *testing.T) {
	for text, want := range map[string]string{
		"WITH orders AS (SELECT * FROM orders) SELECT * FROM orders":                       "orders",
		"WITH RECURSIVE orders AS (SELECT 1 UNION SELECT * FROM orders) TABLE orders":      "",
		"WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b":              "b",
		"SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a":                        "a",
		"WITH a AS (SELECT 1) SELECT * FROM public.a":                                      "public.a",
		"WITH a AS (SELECT 1) SELECT (SELECT count(*) FROM a) FROM b":                      "b",
		"WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a":                               "a",
		"WITH a AS (WITH c AS (SELECT 1) TABLE c) SELECT * FROM a, c":                      "c",
		"(WITH a AS (SELECT 1) SELECT * FROM a) UNION SELECT * FROM a":                     "a",
		"CREATE VIEW v AS WITH a AS (SELECT * FROM s.t) SELECT * FROM a":                   "v s.t",
		"DELETE FROM t USING (SELECT * FROM u) v WHERE EXISTS (SELECT 1 FROM w WHERE a=1)": "t u w",
	} {
		j := Read(text)
		var names []string
		for _, o := range j.Statements[0].Objects {
			name := o.Name
			if o.Schema != "" {
				name = o.Schema + "." + name
			}
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s\n\tnames %q, want %q", text, got, want)
		}
	}
}

// Bodies that cannot be followed, or that change how they are read.
func TestUnreadableBodies(t *testing.T) {
	for _, text := range []string{
		"DO $$BEGIN GARBAGE IN; END$$",
		"DO $$this is not a block$$",
		"DO $$BEGIN SET standard_conforming_strings = off; PERFORM 'a\\'; END$$",
		"DO $$BEGIN PERFORM set_config('standard_conforming_strings', 'off', true); END$$",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELEC 1'",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql SET standard_conforming_strings = off AS 'SELECT 1'",
		"DO $1$BEGIN END$1$",
		// What stands behind a name of the session when the body runs.
		"DO $$BEGIN CREATE TABLE pg_temp.x AS EXECUTE p; END$$",
		"DO $$DECLARE r record; BEGIN FOR r IN EXPLAIN (ANALYZE) EXECUTE p LOOP END LOOP; END$$",
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN CREATE TABLE x AS EXECUTE p (1); END$$",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'FETCH ALL FROM c'",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'MOVE c'",
		"SELECT query_to_xml('EXECUTE p', true, true, '')",
		"SELECT query_to_xml('FETCH c', true, true, '')",
	} {
		if j := Read(text); j.Class&statement.Unknown == 0 {
			t.Errorf("%s: %s", text, j.Class)
		}
	}
}

// PL/pgSQL's own FETCH is of its own cursors, whose queries its block has.
func TestReadableCursors(t *testing.T) {
	j := Read("DO $$DECLARE r record; c CURSOR FOR SELECT 1; BEGIN OPEN c; FETCH c INTO r; MOVE c; CLOSE c; END$$")
	if j.Class != read|function || j.Tags&dynamic != 0 {
		t.Errorf("%s | %s", j.Class, j.Tags)
	}
}

// In EUC_JP both tags are the same: a literal ends there that goes on in UTF-8.
func TestTagsOutsideASCII(t *testing.T) {
	for _, text := range []string{
		"SELECT $¦$ one $￤$; DELETE FROM t; --$¦$", "SELECT $a¦$ one $a¦$",
		"DO $$BEGIN PERFORM $¦$ one $￤$; DELETE FROM t; --$¦$;\nEND$$",
	} {
		if j := Read(text); j.Cause != statement.CauseStrings || j.Class != statement.Unknown {
			t.Errorf("%s\n\t%s | %s %s", text, j.Class, j.Tags, j.Cause)
		}
	}
	for _, text := range []string{"SELECT '$größe$', $_$ größe $1 $_$, \"$ß$\", a$é$ -- $é$", "DO $$BEGIN PERFORM '¦'; END$$"} {
		if j := Read(text); j.Cause != "" {
			t.Errorf("%s: %s", text, j.Cause)
		}
	}
}

// PostgreSQL 15 runs `one` and `two`; pg_query sees the second segment only.
func TestSegmentsBehindComments(t *testing.T) {
	for _, text := range []string{
		"DO 'BEGIN DELETE FROM t; ' -- x\n 'END'",
		"DO 'BEGIN DELETE FROM t; END' -- x\r\n ' '",
		"SELECT E'a' --\n'\\' OR b = ''",
	} {
		if j := Read(text); j.Class&statement.Unknown == 0 {
			t.Errorf("%s: %s", text, j.Class)
		}
	}
	if j := Read("DO $$BEGIN PERFORM 'a' -- x\n 'b'; END$$"); j.Class&statement.Unknown == 0 {
		t.Errorf("in a body: %s", j.Class)
	}
	if j := Read("DO 'BEGIN DELETE FROM t; '\n 'END'"); j.Tags&destructive == 0 || j.Class&statement.Unknown != 0 {
		t.Errorf("without a comment: %s | %s", j.Class, j.Tags)
	}
}

// A body that makes or drops prepared statements makes all names unknown.
func TestHiddenNames(t *testing.T) {
	j := Read("DO $$BEGIN PREPARE p AS DELETE FROM t; END$$")
	if k := j.Statements[0].Effect.Kind; k != statement.EffectDeallocateAll {
		t.Errorf("effect %d", k)
	}
}

func TestEffects(t *testing.T) {
	for text, want := range map[string]statement.Effect{
		"PREPARE p (numeric(1, 2), text) AS /* x */ SELECT 1 AS b;": {Kind: statement.EffectPrepare, Name: "p"},
		"DECLARE \"C\" SCROLL CURSOR WITH HOLD FOR SELECT 1 FOR UPDATE": {
			Kind: statement.EffectDeclare, Name: "C", Hold: true,
		},
		"EXPLAIN ANALYZE EXECUTE p":                               {Kind: statement.EffectExecute, Name: "p"},
		"EXPLAIN ANALYZE CREATE TABLE t AS EXECUTE p (1)":         {Kind: statement.EffectExecute, Name: "p"},
		"DEALLOCATE PREPARE p":                                    {Kind: statement.EffectDeallocate, Name: "p"},
		"MOVE FORWARD ALL IN c":                                   {Kind: statement.EffectFetch, Name: "c"},
		"COMMIT AND CHAIN":                                        {Kind: statement.EffectCommit, Hold: true},
		"ABORT AND CHAIN":                                         {Kind: statement.EffectRollback, Hold: true},
		"COMMIT AND NO CHAIN":                                     {Kind: statement.EffectCommit},
		"VACUUM t":                                                {Kind: statement.EffectCommits},
		"REINDEX TABLE t":                                         {Kind: statement.EffectCommits},
		"CREATE INDEX CONCURRENTLY ON t (a)":                      {Kind: statement.EffectCommits},
		"CREATE INDEX ON t (a)":                                   {},
		"DROP INDEX CONCURRENTLY i":                               {Kind: statement.EffectCommits},
		"ALTER TABLE t DETACH PARTITION p CONCURRENTLY":           {Kind: statement.EffectCommits},
		"ALTER TABLE t DETACH PARTITION p FINALIZE":               {Kind: statement.EffectCommits},
		"ALTER TABLE t DETACH PARTITION p":                        {},
		"ALTER DATABASE d SET TABLESPACE s":                       {Kind: statement.EffectCommits},
		"ALTER DATABASE d CONNECTION LIMIT 1":                     {},
		"SET ROLE NONE":                                           {Kind: statement.EffectRole, Hold: true},
		`SET LOCAL ROLE none`:                                     {Kind: statement.EffectRole},
		`SET ROLE "None"`:                                         {Kind: statement.EffectRole, Name: "None", Hold: true},
		"SELECT set_config('role', 'NONE', true)":                 {Kind: statement.EffectRole, Name: "NONE"},
		"SELECT set_config('role', 'none', true)":                 {Kind: statement.EffectRole},
		"SELECT set_config('role', 'x', true) HAVING false":       {},
		"SELECT set_config('role', 'x', true) LIMIT 0":            {},
		"SELECT pg_catalog.set_config('search_path', '', false);": {Kind: statement.EffectNoPath},
		"SELECT pg_catalog.set_config(is_local => 'f', setting_name => 'Search_Path', new_value => '') AS x": {Kind: statement.EffectNoPath},
		"SET search_path = ''":                                                                                     {Kind: statement.EffectNoPath},
		`SET SESSION "search_path" TO ''`:                                                                          {Kind: statement.EffectNoPath},
		"SELECT set_config('search_path', '', false)":                                                              {},
		"SELECT public.set_config('search_path', '', false)":                                                       {},
		"SELECT pg_catalog.set_config('search_path', '', true)":                                                    {},
		"SELECT pg_catalog.set_config('search_path', NULL, false)":                                                 {},
		"SELECT pg_catalog.set_config('search_path', ' ', false)":                                                  {},
		"SELECT pg_catalog.set_config('search_path', 'a' || '', false)":                                            {},
		"SELECT pg_catalog.set_config('search_path'::text, '', false)":                                             {},
		"SELECT pg_catalog.set_config('search_path', '', 'f'::truth)":                                              {},
		"SELECT pg_catalog.set_config('search_path', $1, false)":                                                   {},
		"SELECT pg_catalog.set_config('search_path', '', false), pg_catalog.set_config('search_path', 'a', false)": {},
		"SELECT pg_catalog.set_config('search_path', '', false) HAVING false":                                      {},
		"SELECT pg_catalog.set_config('search_path', '', false) ORDER BY 1, set_config('search_path', 'a', false)": {},
		"SELECT set_config('role', 'x', false) ORDER BY 1, set_config('role', 'y', false)":                         {},
		"SELECT set_config('role', 'x', false) WINDOW w AS (ORDER BY set_config('role', 'y', false))":              {},
		"SELECT pg_catalog.set_config('search_path', '', false) UNION SELECT 'a'":                                  {},
		"SELECT pg_catalog.set_config('search_path', '', false) INTO t":                                            {},
		"SELECT pg_catalog.set_config('search_path', '', false) LIMIT 0":                                           {},
		"SELECT (SELECT pg_catalog.set_config('search_path', '', false))":                                          {},
		"EXPLAIN SELECT pg_catalog.set_config('search_path', '', false)":                                           {},
		"COPY (SELECT pg_catalog.set_config('search_path', '', false)) TO STDOUT":                                  {},
		"CREATE VIEW v AS SELECT pg_catalog.set_config('search_path', '', false)":                                  {},
		"DO $$BEGIN SET search_path = ''; END$$":                                                                   {},
		"SET LOCAL search_path = ''":                                                                               {},
		"SET search_path = '', a":                                                                                  {},
		"SET search_path = DEFAULT":                                                                                {},
		"RESET search_path":                                                                                        {},
		"SET search_path FROM CURRENT":                                                                             {},
		"ALTER ROLE x SET search_path = ''":                                                                        {},
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 1'":                          {},
		"ABORT":                             {Kind: statement.EffectRollback},
		"CREATE VIEW pg_temp.v AS SELECT 1": {Kind: statement.EffectTemporary},
		"CREATE FOREIGN TABLE pg_temp.f () SERVER s": {Kind: statement.EffectTemporary},
	} {
		e := Read(text).Statements[0].Effect
		inner := e.Inner
		e.Inner = nil
		if e != want {
			t.Errorf("%s: %+v", text, e)
		}
		if wants := want.Kind == statement.EffectPrepare || want.Kind == statement.EffectDeclare; wants != (inner != nil) {
			t.Errorf("%s: inner %v", text, inner)
		} else if wants && !strings.HasPrefix(inner.Text, "SELECT 1") && !strings.HasPrefix(inner.Text, "/* x */ SELECT 1") {
			t.Errorf("%s: inner text %q", text, inner.Text)
		}
	}
}

// Every byte of the text but semicolons and white space between statements is
// in one of them.
func TestTexts(t *testing.T) {
	for text, want := range map[string][]string{
		" SELECT 1 ; ":                         {" SELECT 1 ; "},
		"-- a\nSELECT 1; -- b\nSELECT 2; -- c": {"-- a\nSELECT 1", "-- b\nSELECT 2; -- c"},
		"SELECT 'é';SELECT ';'":                {"SELECT 'é'", "SELECT ';'"},
		";;SELECT 1;;":                         {";;SELECT 1;;"},
		"BEGIN;;COMMIT":                        {"BEGIN", "COMMIT"},
	} {
		j := Read(text)
		var got []string
		for _, s := range j.Statements {
			got = append(got, s.Text)
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q: %q", text, got)
		}
	}
}
