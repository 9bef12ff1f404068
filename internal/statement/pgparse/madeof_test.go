package pgparse

import (
	"slices"
	"strings"
	"testing"
)

// What a definition names is called by who uses it.
func TestMadeOf(t *testing.T) {
	for text, want := range map[string]string{
		"CREATE OPERATOR s.=#= (FUNCTION = p.f, LEFTARG = int, RIGHTARG = p.y, COMMUTATOR = OPERATOR(p.#), RESTRICT = eqsel)": "operator s.=#= created, function p.f read, operator p.# read, type p.y read",
		"CREATE OPERATOR # (PROCEDURE = 'f', RIGHTARG = int)":                                                                 "operator # created, function f read",
		"CREATE AGGREGATE a(int) (SFUNC = p.f, STYPE = p.y, FINALFUNC = int4pl, SORTOP = <)":                                  "aggregate a created, function p.f read, type p.y read",
		"CREATE AGGREGATE a (BASETYPE = int, SFUNC1 = p.f, STYPE1 = int)":                                                     "aggregate a created, function p.f read",
		"CREATE CAST (int AS p.y) WITH FUNCTION p.f(int)":                                                                     "cast pg_catalog.int4 AS p.y created, function p.f read, type p.y read",
		"CREATE OPERATOR CLASS c FOR TYPE p.y USING btree AS OPERATOR 1 p.<, FUNCTION 1 p.f(int, int)":                        "operator class c created, type p.y read, operator p.< read, function p.f read",
		"ALTER OPERATOR FAMILY c USING btree ADD FUNCTION 1 (int, int) p.f(int, int)":                                         "operator family c altered, function p.f read",
		"ALTER OPERATOR # (int, int) SET (RESTRICT = p.f, JOIN = NONE)":                                                       "operator # altered, function p.f read",
		"CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM p.f":                                                                 "conversion c created, function p.f read",
		"CREATE TYPE y (INPUT = p.f, OUTPUT = p.g, LIKE = p.z)":                                                               "type y created, function p.f read, function p.g read, type p.z read",
		"CREATE TYPE y AS RANGE (SUBTYPE = p.z, SUBTYPE_DIFF = p.f)":                                                          "type y created, function p.f read, type p.z read",
		"ALTER TYPE y SET (RECEIVE = p.f)":                                                                                    "type y altered, function p.f read",
		"CREATE TRANSFORM FOR p.y LANGUAGE l (FROM SQL WITH FUNCTION p.f(internal))":                                          "transform p.y l created, function p.f read, type p.y read",
		"CREATE LANGUAGE l HANDLER p.f INLINE p.g VALIDATOR p.h":                                                              "language l created, function p.f read, function p.g read, function p.h read",
		"CREATE ACCESS METHOD m TYPE INDEX HANDLER p.f":                                                                       "access method m created, function p.f read",
		"CREATE FOREIGN DATA WRAPPER w HANDLER p.f VALIDATOR p.g":                                                             "foreign data wrapper w created, function p.f read, function p.g read",
		"ALTER FOREIGN DATA WRAPPER w HANDLER p.f NO VALIDATOR":                                                               "foreign data wrapper w altered, function p.f read",
		"CREATE TEXT SEARCH PARSER q (START = p.f)":                                                                           "text search parser q created, function p.f read",
		"CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = p.x, a = 'b')":                                                           "text search dictionary d created, text search template p.x read",
		"CREATE FUNCTION f(a p.t.id%TYPE) RETURNS SETOF p.y LANGUAGE sql SUPPORT p.g AS 'SELECT 1'":                           "function f created, function p.g read, relation p.t read, type p.y read",
		"CREATE TRIGGER g BEFORE INSERT ON t EXECUTE FUNCTION p.f()":                                                          "table t altered, trigger g created, function p.f read",
		"ALTER SEQUENCE q OWNED BY p.t.id":                                                                                    "sequence q altered, table p.t read",
		"CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME p.q))":                                             "table t created, sequence p.q created",
		"CREATE SEQUENCE q OWNED BY NONE":                                                                                     "sequence q created",
		"CREATE TABLE t (a p.y, EXCLUDE USING gist (a WITH OPERATOR(p.&&)))":                                                  "table t created, type p.y read, operator p.&& executed",
		"CREATE INDEX i ON t (a p.c)":                                                                                         "table t altered, index i created, operator class p.c read",
		"DROP TYPE p.y":                                                                                                       "type p.y dropped",
		"SELECT 1 OPERATOR(p.###) 2, 1 OPERATOR(pg_catalog.+) 2":                                                              "operator p.### executed",
		"SELECT 1 OPERATOR(p.=) ANY (SELECT 2) ORDER BY 1 USING OPERATOR(p.<)":                                                "operator p.= executed, operator p.< executed",
		"SELECT 1::p.y, CAST('x' AS p.t), p.z '1', 1::int, 'x'::pg_catalog.text, 'x'::citext":                                 "type p.y read, type p.t read, type p.z read",
	} {
		j := Read(text)
		var names []string
		for _, o := range j.Statements[0].Objects {
			names = append(names, o.Kind+" "+qualified(o)+" "+o.Use.String())
		}
		slices.Sort(names)
		wanted := strings.Split(want, ", ")
		slices.Sort(wanted)
		if !slices.Equal(names, wanted) {
			t.Errorf("%s\n\t%q %s", text, names, j.Cause)
		}
	}
}
