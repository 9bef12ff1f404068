package pgparse

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Which names are looked up while a statement runs, or later, and whether something
// that may do anything runs before.
func TestLateNames(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT own(a) FROM t":                                                                   "calls",
		"SELECT lower(a) FROM t":                                                                 "",
		"DO $$BEGIN UPDATE t SET a = 1; END$$":                                                   "t",
		"DO $$BEGIN PERFORM own(); UPDATE s.t SET a = 1; END$$":                                  "own s.t calls",
		"DO $$BEGIN CALL own(); END$$":                                                           "own calls",
		"DO $$BEGIN EXECUTE 'TABLE t'; END$$":                                                    "t",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT a FROM t'":                      "t",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a FROM t; END":         "",
		"SELECT query_to_xml('TABLE t', true, true, '') FROM u":                                  "t",
		"WITH x AS (SELECT own()) SELECT query_to_xml('TABLE t', true, true, '') FROM x":         "t calls",
		"SELECT nextval('t'), nextval('t'::regclass), nextval(cast('t' AS pg_catalog.regclass))": "",
		"SELECT nextval('t'::text::regclass)":                                                    "t",
		"SELECT own(), table_to_xml('t'::text, true, true, '')":                                  "t calls",
		"SELECT nextval((SELECT 't'::text)::regclass)":                                           "t",
		"PREPARE p AS SELECT * FROM t":                                                           "",
	} {
		st := Read(text).Statements[0]
		var got []string
		for _, o := range st.Objects {
			if o.Late {
				got = append(got, strings.TrimPrefix(o.Schema+"."+o.Name, "."))
			}
		}
		if st.Calls {
			got = append(got, "calls")
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q", text, s, want)
		}
	}
}

// Which of them may be looked up by another search_path than the one before.
func TestAstray(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT own(a), query_to_xml('SELECT 1', true, true, '') FROM t":                              "",
		"DO $$BEGIN UPDATE t SET a = 1; END$$":                                                        "",
		"DO $$BEGIN PERFORM pg_sleep(1); UPDATE t SET a = 1; END$$":                                   "",
		"DO $$BEGIN SET LOCAL search_path = private; UPDATE t SET a = 1; END$$":                       "t",
		"DO $$BEGIN SET LOCAL work_mem = 1; UPDATE t SET a = 1; END$$":                                "",
		"DO $$BEGIN PERFORM set_config('search_path', 'private', true); UPDATE t SET a = 1; END$$":    "t",
		"DO $$BEGIN SET LOCAL ROLE private; UPDATE t SET a = 1; END$$":                                "t",
		"DO $$BEGIN PERFORM own(); UPDATE t SET a = 1; END$$":                                         "t",
		"SELECT set_config('search_path', 'private', true), query_to_xml('TABLE t', true, true, '')":  "t",
		"SELECT own(), query_to_xml('TABLE t', true, true, '') FROM u":                                "t",
		"SELECT query_to_xml('TABLE t', true, true, '')":                                              "",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = private AS 'SELECT a FROM t'": "t",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT a FROM t'":                           "t",
		"CREATE PROCEDURE f() LANGUAGE plpgsql AS $$BEGIN DELETE FROM t WHERE a = 1; END$$":           "t",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a FROM t; END":              "",
		"ALTER ROLE bob SET search_path = x":                                                          "",
		"SET search_path = private":                                                                   "",
	} {
		st := Read(text).Statements[0]
		all, late := st.Astray()
		var got []string
		for _, o := range st.Objects {
			if o.InCatalog() == statement.Relation && o.Strays(all, late) {
				got = append(got, o.Name)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %q, want %q", text, s, want)
		}
	}
}

// What EXECUTE makes is temporary or not, and is EXECUTE's in either case.
func TestTemporaryTableOfExecute(t *testing.T) {
	for text, hold := range map[string]bool{
		"CREATE TABLE c AS EXECUTE p":                      false,
		"CREATE TEMP TABLE c AS EXECUTE p":                 true,
		"CREATE TABLE pg_temp.c AS EXECUTE p":              true,
		"EXPLAIN ANALYZE CREATE TEMP TABLE c AS EXECUTE p": true,
		"EXECUTE p": false,
	} {
		e := Read(text).Statements[0].Effect
		if e.Kind != statement.EffectExecute || e.Name != "p" || e.Hold != hold {
			t.Errorf("%s: %+v", text, e)
		}
	}
}
