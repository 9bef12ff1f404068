package pgparse

import (
	"slices"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// What a statement touches that its text does not name is anything; what it names is not.
func TestAnything(t *testing.T) {
	for text, want := range map[string]bool{
		// SQL that is put together.
		"DO $$BEGIN EXECUTE 'TABLE pri' || 'vate.salaries'; END$$":                                            true,
		"DO $$BEGIN EXECUTE format('TABLE %I.%I', 'private', 'salaries'); END$$":                              true,
		"DO $$DECLARE r record; BEGIN FOR r IN EXECUTE $1 LOOP END LOOP; END$$":                               true,
		"DO $$DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE a; END$$":                                         true,
		"CREATE FUNCTION f(a text) RETURNS SETOF t LANGUAGE plpgsql AS $$BEGIN RETURN QUERY EXECUTE a; END$$": true,
		"DO LANGUAGE plpython3u 'plpy.execute(1)'":                                                            true,
		"DO $$BEGIN EXECUTE 'TABLE public.t'; END$$":                                                          false,
		"DO $$DECLARE a text := 'x'; BEGIN PERFORM a; END$$":                                                  false,
		"SELECT query_to_xml($1, true, true, '')":                                                             true,
		"SELECT query_to_xml(lower('TABLE X'), true, true, '')":                                               true,
		"SELECT query_to_xml('TABLE ' || 'x', true, true, '')":                                                false,
		"SELECT ts_stat(a) FROM b":                                                                            true,
		"SELECT ($1).ts_stat":                                                                                 true,
		"SELECT * FROM crosstab('TABLE x', 5) AS c (a int)":                                                   false,
		"SELECT ts_rewrite('a'::tsquery, b, 'c'::tsquery)":                                                    false,
		"SELECT * FROM connectby('public.t', 'k', 'p', 'o', '1', 0)":                                          false,
		"SELECT * FROM connectby('public.t', '(SELECT amount FROM private.salaries)', 'p', '1', 0)":           true,
		"SELECT * FROM connectby('(table/**/private.salaries)x', 'k', 'p', '1', 0)":                           true,
		"SELECT * FROM connectby('private.t\"x\"', 'k', 'p', '1', 0)":                                         true,
		"SELECT * FROM xpath_table('id', 'doc', 'public.t', '/a', 'true') AS x (a int, b text)":               true,
		// Functions of everything.
		"SELECT database_to_xml(true, true, '')":                                                 true,
		"SELECT schema_to_xml('public', true, true, '')":                                         false,
		"SELECT * FROM pg_logical_slot_peek_changes('s', NULL, NULL)":                            true,
		"SELECT * FROM pg_get_wal_records_info('0/0', '0/1')":                                    true,
		"SELECT dblink_build_sql_insert('public.t', '1', 1, '{1}', '{1}')":                       false,
		"SELECT dblink_build_sql_insert($1, '1', 1, '{1}', '{1}')":                               true,
		"SELECT pg_clear_relation_stats('public', 't')":                                          false,
		"SELECT pg_clear_relation_stats($1, 't')":                                                true,
		"SELECT pg_restore_relation_stats('version', 1, 'schemaname', 'public', 'relname', 't')": false,
		"SELECT pg_restore_relation_stats('schemaname', 'public', a, 't') FROM b":                true,
		// Statements about everything.
		"DROP OWNED BY bob":                          true,
		"REASSIGN OWNED BY bob TO eve":               true,
		"TRUNCATE t CASCADE":                         true,
		"TRUNCATE t RESTART IDENTITY":                false,
		"VACUUM":                                     true,
		"ANALYZE":                                    true,
		"VACUUM (FULL) t":                            false,
		"CLUSTER":                                    true,
		"CLUSTER t":                                  false,
		"REINDEX DATABASE d":                         true,
		"REINDEX SCHEMA s":                           false,
		"REINDEX TABLE t":                            false,
		"ALTER EXTENSION e SET SCHEMA public":        true,
		"ALTER EXTENSION e UPDATE":                   false,
		"CREATE SCHEMA AUTHORIZATION CURRENT_USER":   true,
		"CREATE SCHEMA s AUTHORIZATION CURRENT_ROLE": false,
		"ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b":                true,
		"CREATE PUBLICATION p FOR ALL TABLES":                             true,
		"CREATE PUBLICATION p FOR TABLE t":                                false,
		"CREATE PUBLICATION p FOR TABLES IN SCHEMA public":                false,
		"CREATE PUBLICATION p FOR TABLES IN SCHEMA CURRENT_SCHEMA":        true,
		"ALTER PUBLICATION p ADD TABLES IN SCHEMA a, CURRENT_SCHEMA":      true,
		"UPDATE pg_namespace SET nspname = 'x' WHERE nspname = 'private'": true,
		"COPY pg_catalog.pg_class FROM STDIN":                             true,
		// What may have SQL that was judged before read otherwise.
		"SET standard_conforming_strings = off":                        true,
		"SET SESSION standard_conforming_strings TO 'f'":               true,
		"SET standard_conforming_strings = on":                         false,
		"SELECT set_config('standard_conforming_strings', $1, false)":  true,
		"SELECT set_config($1, 'off', false)":                          true,
		"UPDATE pg_settings SET setting = 'x' WHERE name = 'work_mem'": true,
		// What leads names elsewhere when others run it.
		"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT set_config('search_path', 'x', false)$$":            true,
		"CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT set_config('Search_Path', 'x', false); END": true,
		"CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$BEGIN SET search_path = x; END$$":                      true,
		"CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM set_config($1, $2, false); END$$":        true,
		"CREATE AGGREGATE a(text, bool) (SFUNC = set_config, STYPE = text, INITCOND = 'search_path')":                  true,
		"CREATE OPERATOR ### (FUNCTION = public.own, RIGHTARG = text)":                                                 false,
		"CREATE VIEW v AS SELECT set_config('search_path', 'x', false)":                                                true,
		"CREATE TABLE t (a text DEFAULT set_config('search_path', 'x', false))":                                        true,
		"ALTER TABLE t ADD CHECK (set_config('search_path', 'x', false) <> '')":                                        true,
		"CREATE RULE r AS ON INSERT TO t DO ALSO SELECT set_config('search_path', 'x', false)":                         true,
		"CREATE FUNCTION f() RETURNS text LANGUAGE sql SET search_path = x AS 'SELECT 1'":                              false,
		"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT set_config('work_mem', '1MB', false)$$":             false,
		"DO $$BEGIN SET search_path = x; END$$":                                                                        false,
		"SELECT set_config('search_path', 'x', false)":                                                                 false,
		"PREPARE p AS SELECT set_config('search_path', 'x', false)":                                                    false,
		// What leads names elsewhere in sessions to come, or in a body that there is.
		"ALTER FUNCTION f() SET search_path FROM CURRENT":  true,
		"ALTER FUNCTION f() SET role = x":                  true,
		"ALTER ROLE bob SET role = x":                      true,
		"ALTER DATABASE d SET search_path FROM CURRENT":    true,
		"ALTER FUNCTION f() SET work_mem FROM CURRENT":     false,
		"ALTER FUNCTION f() RESET search_path":             false,
		"ALTER FUNCTION f() RESET ALL":                     false,
		"ALTER ROLE bob SET search_path TO DEFAULT":        false,
		"ALTER ROLE bob SET search_path = private, public": false, // see below
		// What the planner knows of all tables.
		"SELECT most_common_vals FROM pg_stats":          true,
		"SELECT stavalues1 FROM pg_catalog.pg_statistic": true,
		"SELECT * FROM pg_toast.pg_toast_2619":           true,
		"SELECT * FROM pg_statistic_ext":                 false,
		"SELECT * FROM my.pg_stats":                      false,
	} {
		j := Read(text)
		if got := slices.ContainsFunc(j.Statements[0].Objects, func(o statement.Object) bool {
			return o.Name == statement.Any && (o.Schema == statement.Any || o.Kind == "schema")
		}); got != want {
			t.Errorf("%s: %+v %s", text, j.Statements[0].Objects, j.Cause)
		}
	}
	for text, want := range map[string]statement.Object{
		"SELECT dblink_build_sql_insert('private.t', '1', 1, '{1}', '{1}')":          {Schema: "private", Name: "t", Kind: "relation", Use: useRead},
		"SELECT pg_clear_relation_stats('private', 't')":                             {Schema: "private", Name: "t", Kind: "relation", Use: useWrite},
		"SELECT pg_restore_attribute_stats('relname', 't', 'SchemaName', 'private')": {Schema: "private", Name: "t", Kind: "relation", Use: useWrite},
		"SELECT * FROM connectby('private.t', 'k', 'p', '1', 0)":                     {Schema: "private", Name: "t", Kind: "relation", Use: useRead},
		"SELECT gin_clean_pending_list('private.i')":                                 {Schema: "private", Name: "i", Kind: "index", Use: useAlter},
		"SELECT pg_get_sequence_data(sequence_oid => 'private.q')":                   {Schema: "private", Name: "q", Kind: "sequence", Use: useRead},
		"SELECT * FROM bt_page_items(relname => 'private.i', blkno => 1)":            {Schema: "private", Name: "i", Kind: "relation", Use: useRead},
		"SELECT heap_force_kill(tids => '{\"(0,1)\"}', reloid => 'private.t')":       {Schema: "private", Name: "t", Kind: "relation", Use: useWrite},
		"SELECT aws_s3.table_import_from_s3(table_name => 'private.t')":              {Schema: "private", Name: "t", Kind: "relation", Use: useWrite},
		"SELECT pg_get_sequence_data('private.q')":                                   {Schema: "private", Name: "q", Kind: "sequence", Use: useRead},
	} {
		if j := Read(text); !slices.Contains(j.Statements[0].Objects, want) {
			t.Errorf("%s: %+v", text, j.Statements[0].Objects)
		}
	}
}

// A search_path that is stored leads names to its schemas; those of the usual one say
// nothing new.
func TestStoredPath(t *testing.T) {
	for text, want := range map[string][]string{
		"ALTER ROLE CURRENT_USER SET search_path = private, public":          {"private"},
		"ALTER ROLE ALL IN DATABASE d SET SCHEMA 'private'":                  {"private"},
		"ALTER DATABASE d SET search_path TO Private, \"A, b\"":              {"private", "A, b"},
		"ALTER SYSTEM SET search_path = private":                             {"private"},
		"ALTER FUNCTION f() SECURITY INVOKER SET search_path = private":      {"private"},
		"ALTER PROCEDURE f() SET search_path = pg_catalog, private, pg_temp": {"private"},
		"DO $$BEGIN ALTER ROLE bob SET search_path = private; END$$":         {"private"},
		"ALTER FUNCTION f() SET search_path = ''":                            nil,
		"ALTER FUNCTION f() SET search_path = pg_catalog, pg_temp":           nil,
		"ALTER ROLE bob SET search_path TO \"$user\", public":                nil,
		"ALTER ROLE bob SET work_mem = '5MB'":                                nil,
		"SET search_path = private":                                          nil, // followed in the session
	} {
		var got []string
		for _, o := range Read(text).Statements[0].Objects {
			if o.Kind == "schema" {
				got = append(got, o.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
