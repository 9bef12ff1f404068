package pgparse

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Conditions that take every row of t, or that no row of it decides.
var everyRow = []string{
	"id IN (SELECT id FROM t x)", "t.id IN (SELECT x.id FROM t x)", "id = ANY (SELECT id FROM t)", "id IN (SELECT id FROM t LIMIT ALL)",
	"id IN (SELECT id FROM t OFFSET 0)", "EXISTS (SELECT 1 FROM t x WHERE x.id = t.id)", "EXISTS (SELECT 1 FROM u WHERE u.id = id)",
	"EXISTS (SELECT count(*) FROM u WHERE u.id = t.id)", "NOT EXISTS (SELECT 1 WHERE false)", "id NOT IN (SELECT 1 WHERE false)",
	"id <> ALL (SELECT 1 WHERE false)", "EXISTS (SELECT 1 UNION SELECT 2)", "EXISTS (SELECT 1 LIMIT 1)", "(SELECT 1) = 1", "id = (SELECT id)",
	"NOT EXISTS (SELECT 1 FROM u WHERE u.a = 5)", "EXISTS (SELECT 1 FROM u WHERE u.a = 5)", "(SELECT bool_and(u.a) FROM u)",
	"ctid = ctid", "ctid IS NOT NULL", "ctid >= '(0,0)'", "'(0,0)' < ctid", "xmin IS NOT NULL", "tableoid IS NOT NULL",
	"random() >= 0", "random() < 1", "0 <= random()", "random() > -1", "length(name) >= 0", "char_length(name) > -1", "abs(id) >= 0",
	"at > '-infinity'", "at <= 'Infinity'", "'-infinity' < at", "at BETWEEN '-infinity' AND 'infinity'",
	"id + 0 = id", "id * 1 = id", "id - id = 0", "id * 0 = 0", "name || '' = name", "0 = id - id", "(id, a) = (id, a)",
	"(id = 5) IS NOT NULL", "(id = 5) IS NOT UNKNOWN", "id = 5 OR (id = 5) IS NOT TRUE", "id = 5 OR (id = 5) IS FALSE",
	"(id = 5) = (id = 5)", "id NOT BETWEEN 5 AND 6 OR id BETWEEN 5 AND 6 OR true",
	"name ILIKE '%'", "name LIKE '%' || '%'", "name SIMILAR TO '%'", "name LIKE '%' ESCAPE '#'", "name ~~ '%%'", "name !~~ '' OR 1 = 1",
	"name ~* '.*'", "name ~ '^.*$'", "name ~ '|'", "name ^@ ''", "starts_with(name, '')",
	"coalesce(NULL, true)", "coalesce(NULL, NULL, id = id)", "CASE WHEN id = 1 THEN true ELSE true END", "CASE WHEN false THEN false ELSE true END",
	"CASE 1 WHEN 1 THEN true ELSE id = 1 END", "nullif(1, 2) = 1", "greatest(1, 2) = 2", "now() > '2000-01-01'", "current_user = 'bob'",
	"pg_sleep(0) IS NOT NULL", "bool(1)", "f()", "$1", "$1 = 5", "$1::bool", "id = 5 OR f()", "id = 5 OR current_user = 'admin'", "t.id = t.id AND 1 = 1",
	"(SELECT yes FROM (SELECT true AS yes) x)", "(WITH s AS (SELECT 1 AS one) SELECT one = 1 FROM s)", "(SELECT y FROM (VALUES (true)) v(y))",
	"EXISTS (WITH s(a) AS (SELECT 1) SELECT a FROM s WHERE a = 1)",
	"0.1 + 0.2 = 0.3", "'NaN'::float8 > 1", "1e3::text = '1000'", "'' || 1e3 = '1000'", "1e-400 <> 0", "1.00000000000000000001::numeric <> 1", "9007199254740993 + 1 = 9007199254740994",
	"'ab'::varchar(1) = 'a'", "1.4::int = 1", "1 IN (1.4::int)", "1 BETWEEN 0.6::int AND 2", "(SELECT 1.4)::int = 1", "'1.0' <> '1'", "'10' < '9'", "NOT ('1.0' = '1')",
	"id <> ALL ('{}')", "id = ALL (ARRAY[]::int[])", "0 + id = id", "1 * id = id", "id & 0 = 0", "'' || name = name", "name IS DISTINCT FROM 'x' OR name = 'x'",
	"name LIKE '%x'::varchar(1)", "length(name) >= '0.4'::int", "at > '-infinity'::timestamptz", "ctid >= '(0,0)'::tid", "id IN (SELECT id FROM t OFFSET 0.4::int)", "0.4::int::bool IS NOT TRUE",
	"'x ' = 'x'::char(1)", "'2020-01-01'::date = '2020-1-1'", "'{a}'::text[] = '{ a }'", "B'1'::text = '1'", "CASE WHEN '1.0' = '1' THEN false ELSE true END",
	"coalesce(NULL = 1, true)", "(id = NULL) IS UNKNOWN", "(NULL = 1) IS UNKNOWN", "NOT ((NULL = 1) IS NOT UNKNOWN)", "1 IS DISTINCT FROM NULL",
	"id IN (5, id)", "5 IN (4, 5)", "5 = ANY (ARRAY[4, 5])", "NOT (id <> id)", "id >= id", "a.b.c = a.b.c",
}

// The table's own rows by detours.
var everyRowByDetour = []string{
	"id IN (SELECT DISTINCT id FROM t)", "id IN (SELECT id FROM (SELECT DISTINCT id FROM t) s)",
	"id IN (SELECT id FROM t UNION SELECT 1)", "id IN (SELECT 1 UNION ALL (SELECT 2 UNION SELECT id FROM t))", "id IN (SELECT id FROM t INTERSECT SELECT x.id FROM t x)",
	"id = ANY (ARRAY(SELECT id FROM t))", "t.id = ANY (ARRAY(SELECT x.id FROM t x WHERE true)::int[])", "id = SOME (ARRAY(SELECT id FROM t UNION SELECT 1))",
	"(id, a) IN (SELECT id, a FROM t)", "(id, t.a) = ANY (SELECT x.id, x.a FROM t x)", "ROW (id, a) IN (SELECT id, a FROM (SELECT * FROM t) s)",
	"id IN (WITH x AS (SELECT id FROM t) SELECT id FROM x)", "id IN (WITH x AS (SELECT * FROM t), y AS (TABLE x) SELECT y.id FROM y WHERE 1 = 1)",
	"id IN (SELECT id FROM (SELECT id FROM t) s)", "id IN (SELECT s.id FROM (SELECT a, t.id AS id FROM t WHERE NOT false) AS s)", "id IN (SELECT id FROM (SELECT * FROM (SELECT * FROM t) r) s)",
	"id IN (WITH t AS (SELECT id FROM t) SELECT id FROM t)",
	"EXISTS (SELECT 1 FROM t x WHERE x.id = t.id LIMIT 1)", "EXISTS (SELECT FROM t x WHERE x.id = t.id FETCH FIRST 1 ROW ONLY)", "EXISTS (SELECT 1 FROM t x WHERE x.id = t.id LIMIT 10)",
}

// Detours that select.
var someRowsByDetour = []string{
	"id IN (SELECT DISTINCT ON (a) id FROM t ORDER BY a)", "id IN (SELECT id FROM (SELECT DISTINCT ON (a) * FROM t) s)",
	"id IN (SELECT id FROM u UNION SELECT 1)", "id IN (SELECT id FROM t EXCEPT SELECT 1)", "id IN (SELECT id FROM t INTERSECT SELECT id FROM u)", "id IN (SELECT id FROM t UNION SELECT 1 LIMIT 5)",
	"id = ANY (ARRAY(SELECT id FROM u))", "id = ANY (ARRAY(SELECT id FROM t LIMIT 5))", "id <> ANY (ARRAY(SELECT id FROM t WHERE a = 1))", "id = ALL (ARRAY(SELECT id FROM t))", "id < ANY (ARRAY(SELECT id FROM t))",
	"(id, a) IN (SELECT id, a FROM u)", "(id, a) IN (SELECT a, id FROM t)", "(id, a) IN (SELECT id, a FROM t WHERE a = 1)", "(id, 5) IN (SELECT id, a FROM t)",
	"id IN (WITH x AS (SELECT id FROM u) SELECT id FROM x)", "id IN (WITH x AS (SELECT id FROM t WHERE a = 1) SELECT id FROM x)", "id IN (WITH x (id) AS (SELECT a FROM t) SELECT id FROM x)",
	"id IN (WITH x AS (SELECT id FROM t LIMIT 5) SELECT id FROM x)", "id IN (WITH x AS (SELECT parent AS id FROM t) SELECT id FROM x)", "id IN (WITH t AS (SELECT id FROM u) SELECT id FROM t)",
	"id IN (SELECT id FROM (SELECT id FROM t WHERE a = 1 LIMIT 5) s)", "id IN (SELECT id FROM (SELECT parent AS id FROM t) s)", "id IN (SELECT id FROM (SELECT id FROM t) AS s (a))", "id IN (SELECT parent FROM (SELECT * FROM t) s)",
	"id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY a ORDER BY id) AS n FROM t) s WHERE n > 1)", "id IN (SELECT max(id) FROM t GROUP BY a)", "id NOT IN (SELECT min(id) FROM t GROUP BY a)",
	"id IN (SELECT id FROM (SELECT id, count(*) FROM t GROUP BY id HAVING count(*) > 1) s)", "id IN (SELECT id FROM t TABLESAMPLE system (1))",
	"EXISTS (SELECT 1 FROM u x WHERE x.t_id = t.id LIMIT 1)", "EXISTS (SELECT 1 FROM t x WHERE x.parent = t.id LIMIT 1)", "EXISTS (SELECT 1 FROM t x WHERE x.id = t.id LIMIT 0)", "EXISTS (SELECT 1 FROM t x WHERE x.id = t.id OFFSET 1 LIMIT 1)",
	"id IN (WITH RECURSIVE x AS (SELECT 5 AS id UNION SELECT t.id FROM t JOIN x ON t.parent = x.id) SELECT id FROM x)",
}

// Conditions that select.
var someRows = []string{
	"id = (SELECT id FROM (SELECT 5 AS id) x)", "id IN (SELECT id FROM (VALUES (5)) v(id))", "(SELECT done FROM (SELECT 1 AS one) x)", "(WITH s AS (SELECT 5 AS id) SELECT id = 5 FROM s) AND id = 5",
	"id <> ALL ('{1}')", "id = ALL (ARRAY[1])", "id = ALL ($1)", "5 + id = 6", "id & 4 = 0", "name IS DISTINCT FROM 'x' OR name = 'y'",
	"length(name) > '10'::int", "at > '2020-01-01'::timestamptz", "name LIKE 'a%'::text", "name = 'a'::varchar(5)", "id IN ('1'::int, '2'::int)",
	"1 = 0", "1.5 = 2", "1 + 1 = 3", "-1 = 1", "1000000 = 1", "'a' = 'b'", "1 = 2::int8", "id = '1'::int", "(a = 5) IS UNKNOWN", "coalesce(NULL, false)",
	"id = 1", "id = $1", "t.id = $1 AND $2", "id > 0", "id >= 0", "id <> 5", "NOT id = 5", "id = 1 OR id = 2", "id = 1 OR a = 1", "false", "1 = 2",
	"a IS NULL", "a IS NOT NULL", "done IS NOT TRUE", "done", "NOT done", "(SELECT max(id) FROM u) = id", "id = (SELECT max(id) FROM t)",
	"id IN (SELECT id FROM t LIMIT 10)", "ctid IN (SELECT ctid FROM t WHERE a = 1 LIMIT 1000)", "id IN (SELECT u.id FROM u)",
	"id IN (SELECT t_id FROM u WHERE u.a = 1)", "id NOT IN (SELECT id FROM u)", "t.id IN (SELECT u.id FROM u)",
	"EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id)", "NOT EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id)", "EXISTS (SELECT 1 FROM t x WHERE x.id > t.id AND x.name = t.name)",
	"at < now() - interval '30 days'", "at < '2020-01-01'", "at BETWEEN $1 AND $2", "name LIKE 'a%'", "name LIKE '%a%'", "name ~ '^a'", "name ^@ 'a'",
	"length(name) > 0", "length(name) > 10", "abs(id) > 5", "random() < 0.1 AND id > 5", "id % 10 = 3", "id + 1 = a", "a - id = 0", "id * 2 = 4", "name || 'x' = 'ax'",
	"tenant_id = $1 AND id = $2", "($1 IS NULL OR id = $1)", "(id = $1 OR $2)", "coalesce(a, 0) = 5", "coalesce(done, false)", "CASE WHEN id = 1 THEN true ELSE false END",
	"CASE id WHEN 1 THEN true ELSE false END", "CURRENT OF c", "t IS NOT NULL AND id = 1", "id = ANY ($1)", "id = ANY (ARRAY[1, 2])", "(id, a) = (1, 2)", "(id, a) IN ((1, 2))",
	"data @> '{\"a\": 1}'", "data ->> 'a' = 'b'", "lower(name) = lower($1)", "id IS NOT DISTINCT FROM $1", "a < b OR a > b", "id <= 5 OR id >= 10", "id = 5 OR id <> 6",
}

func TestEveryRow(t *testing.T) {
	for _, where := range slices.Concat(everyRow, everyRowByDetour) {
		for _, command := range []string{"DELETE FROM t WHERE ", "UPDATE t SET a = 1 WHERE "} {
			j := Read(command + where)
			if j.Cause != "" || j.Tags&destructive == 0 {
				t.Errorf("%s%s: %s %s", command, where, j.Tags, j.Cause)
			}
		}
	}
	for _, where := range slices.Concat(someRows, someRowsByDetour) {
		for _, command := range []string{"DELETE FROM t WHERE ", "UPDATE t SET a = 1 WHERE "} {
			j := Read(command + where)
			if j.Cause != "" || j.Tags&destructive != 0 {
				t.Errorf("%s%s: %s (%s) %s", command, where, j.Tags, j.Statements[0].Destructive, j.Cause)
			}
		}
	}
}

// Joins decide too.
func TestEveryRowByJoin(t *testing.T) {
	for text, want := range map[string]bool{
		"WITH s AS (SELECT true AS yes) DELETE FROM t WHERE (SELECT yes FROM s)":      true,
		"WITH s(yes) AS (VALUES (true)) UPDATE t SET a = 1 WHERE (SELECT yes FROM s)": true,
		"WITH s AS (SELECT 5 AS id) DELETE FROM t WHERE id = (SELECT id FROM s)":      false,
		"WITH s AS (SELECT id FROM u) DELETE FROM t WHERE id IN (SELECT id FROM s)":   false,
		"WITH s AS (SELECT true AS yes) DELETE FROM t WHERE (SELECT no FROM s)":       false,
		"DELETE FROM t USING u":                                                                                                    true,
		"DELETE FROM t USING u WHERE u.id = 5":                                                                                     true,
		"DELETE FROM t USING u WHERE u.id = u.id":                                                                                  true,
		"DELETE FROM t USING u JOIN v ON u.id = v.id WHERE u.a = v.a":                                                              true,
		"DELETE FROM t USING t x WHERE t.id = x.id":                                                                                true,
		"DELETE FROM s.t USING s.t x WHERE t.id = x.id":                                                                            true,
		"DELETE FROM t a USING t b WHERE a.id = b.id AND true":                                                                     true,
		"DELETE FROM t USING (SELECT * FROM t) x WHERE t.id = x.id":                                                                true,
		"DELETE FROM t USING (SELECT id FROM t WHERE true) x WHERE t.id = x.id":                                                    true,
		"WITH x AS (SELECT id FROM t) DELETE FROM t USING x WHERE t.id = x.id":                                                     true,
		"WITH x AS (SELECT id FROM t), y AS (TABLE x) UPDATE t SET a = 1 FROM y z WHERE t.id = z.id":                               true,
		"WITH x AS (SELECT id FROM t) DELETE FROM t WHERE id IN (SELECT id FROM x)":                                                true,
		"WITH t AS (SELECT id FROM t LIMIT 5) DELETE FROM t WHERE id IN (SELECT id FROM t)":                                        false,
		"WITH x AS (SELECT id FROM t FOR UPDATE SKIP LOCKED LIMIT 5) DELETE FROM t WHERE id IN (SELECT id FROM x)":                 false,
		"WITH x AS (SELECT id FROM t WHERE a = 1) UPDATE t SET a = 2 FROM x WHERE t.id = x.id":                                     false,
		"WITH x AS (DELETE FROM u WHERE a = 1 RETURNING id) DELETE FROM t USING x WHERE t.id = x.id":                               false,
		"UPDATE t SET a = 1 FROM (SELECT id FROM t WHERE a = 5 LIMIT 10) x WHERE t.id = x.id":                                      false,
		"INSERT INTO t SELECT * FROM t ON CONFLICT (id) DO UPDATE SET a = 1":                                                       true,
		"INSERT INTO t TABLE t ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET a = 1 WHERE true":                                    true,
		"INSERT INTO t (a, id) SELECT 1, x.id FROM t x WHERE 1 = 1 ON CONFLICT (id) DO UPDATE SET a = 2":                           true,
		"INSERT INTO t (id) SELECT id FROM (SELECT * FROM t) x ON CONFLICT (id) DO UPDATE SET a = 2":                               true,
		"WITH x AS (SELECT * FROM t) INSERT INTO t SELECT * FROM x ON CONFLICT (id) DO UPDATE SET a = 2":                           true,
		"INSERT INTO t SELECT * FROM t ON CONFLICT ((lower(a))) DO UPDATE SET a = 2":                                               true,
		"CREATE RULE r AS ON UPDATE TO v DO ALSO UPDATE t SET a = 1 FROM (SELECT id FROM t WHERE id = old.id) x WHERE t.id = x.id": false,
		"WITH x AS (SELECT id FROM t), d AS (DELETE FROM t WHERE id IN (SELECT id FROM x) RETURNING 1) SELECT * FROM d":            true,
		"WITH d AS (DELETE FROM t WHERE id IN (SELECT id FROM t) RETURNING 1), t AS (SELECT 1 AS id) SELECT * FROM d":              true,
		"WITH t AS (SELECT id FROM u), d AS (DELETE FROM t WHERE id IN (SELECT id FROM t) RETURNING 1) SELECT * FROM d":            false,
		"INSERT INTO t SELECT * FROM u ON CONFLICT ((lower(a))) DO UPDATE SET a = 2":                                               false,
		"INSERT INTO t SELECT * FROM u ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET a = 1":                                       false,
		"INSERT INTO t VALUES (1, 2) ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET a = 1":                                         false,
		"INSERT INTO t SELECT * FROM t ON CONFLICT (id) DO NOTHING":                                                                false,
		"INSERT INTO t SELECT * FROM t ON CONFLICT (id) DO UPDATE SET a = 1 WHERE t.a = 5":                                         false,
		"INSERT INTO t SELECT * FROM t WHERE a = 5 ON CONFLICT (id) DO UPDATE SET a = 1":                                           false,
		"INSERT INTO t SELECT * FROM u ON CONFLICT (id) DO UPDATE SET a = excluded.a":                                              false,
		"INSERT INTO t (id, a) SELECT a, id FROM t ON CONFLICT (id) DO UPDATE SET a = 1":                                           false,
		"INSERT INTO t (a) SELECT a FROM t ON CONFLICT (id) DO UPDATE SET a = 1":                                                   false,
		"INSERT INTO t SELECT id + 1000, a FROM t ON CONFLICT (id) DO UPDATE SET a = 1":                                            false,
		"UPDATE t SET a = 1 FROM t x WHERE t.id = x.id":                                                                            true,
		"UPDATE t SET a = u.a FROM u WHERE u.name = 'x'":                                                                           true,
		"MERGE INTO t USING u ON u.a = 1 WHEN MATCHED THEN DELETE":                                                                 true,
		"MERGE INTO t USING t x ON t.id = x.id WHEN MATCHED THEN DELETE":                                                           true,
		"MERGE INTO t USING (SELECT * FROM t) x ON t.id = x.id WHEN MATCHED THEN UPDATE SET a = 1":                                 true,
		"MERGE INTO t USING (VALUES (1)) x ON true WHEN MATCHED AND 1 = 1 THEN DELETE":                                             true,
		"MERGE INTO t USING u ON t.id = u.id WHEN NOT MATCHED BY SOURCE THEN UPDATE SET a = 1":                                     true,
		"MERGE INTO t USING u ON t.id = u.id WHEN NOT MATCHED BY SOURCE AND t.a = 5 THEN DELETE":                                   false,
		"MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE":                                                             false,
		"MERGE INTO t USING u ON true WHEN MATCHED AND t.id = 5 THEN DELETE":                                                       false,
		"MERGE INTO t USING u ON true WHEN NOT MATCHED THEN INSERT VALUES (1)":                                                     false,
		"DELETE FROM t USING u WHERE t.id = u.id":                                                                                  false,
		"DELETE FROM t USING tenant WHERE t.tenant_id = tenant.id AND tenant.name = 'x'":                                           false,
		"DELETE FROM t USING t x WHERE t.id > x.id AND t.name = x.name":                                                            false,
		"DELETE FROM t USING t x WHERE t.parent = x.id":                                                                            false,
		"DELETE FROM t USING other.t x WHERE t.id = x.id AND x.a = 1":                                                              false,
		"DELETE FROM s.t USING other.t x WHERE t.id = x.id":                                                                        false,
		"UPDATE t SET a = x.a FROM t x WHERE t.parent = x.id":                                                                      false,
		"UPDATE t SET a = v.a FROM (VALUES (1, 2)) v (id, a) WHERE t.id = v.id":                                                    false,
		"UPDATE t SET n = n + 1 WHERE id = $1 RETURNING n":                                                                         false,
		"WITH x AS (SELECT id FROM t WHERE a LIMIT 5) DELETE FROM t USING x WHERE t.id = x.id":                                     false,
		"INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = excluded.a":                                                   false,
		"WITH x AS (DELETE FROM t WHERE id = 1 RETURNING *) INSERT INTO archive SELECT * FROM x":                                   false,
		"DO $$DECLARE n int; BEGIN DELETE FROM t WHERE id = n; UPDATE t SET a = 1 WHERE x = n; END$$":                              false,
		"DO $$DECLARE n int; k bool; BEGIN DELETE FROM t WHERE k OR id = n; DELETE FROM t WHERE t.id = 5 AND k; END$$":             false,
		"DELETE FROM t WHERE 'a' = 'A' COLLATE loose":                                                                              true,
		"DELETE FROM t WHERE 'a' COLLATE public.\"C\" IN ('A')":                                                                    true,
		"DELETE FROM t WHERE ('a' || '') COLLATE loose = 'A'":                                                                      true,
		"DELETE FROM t WHERE ('a' || '')::citext = 'A'":                                                                            true,
		"DELETE FROM t WHERE (id + 0)::int = id":                                                                                   true,
		"DELETE FROM t WHERE 'a' = 'A' COLLATE \"C\"":                                                                              false,
		"DELETE FROM t WHERE a = 'A' COLLATE loose":                                                                                false,
		"CREATE FUNCTION f(n int) RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE id = n'":                                       false,
		"CREATE FUNCTION f(id int) RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE id = $1'":                                     false,
		"CREATE FUNCTION f(OUT gone bool) LANGUAGE sql AS 'DELETE FROM t WHERE gone RETURNING true'":                               false,
		"CREATE FUNCTION f(a bool) RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE id = 1'; DELETE FROM t WHERE a":               false,
		"CREATE FUNCTION f(n int) RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM t WHERE id = n; END":                          false,
		"CREATE FUNCTION f(go bool) RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE go'":                                         true,
		"CREATE PROCEDURE f(INOUT n int) LANGUAGE sql AS 'UPDATE t SET a = 0 WHERE n > 5'":                                         true,
		"CREATE FUNCTION f(go bool) RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM t WHERE go; END":                            true,
		"CREATE FUNCTION f(id int, go bool) RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE f.go'":                               true,
		"DO $$DECLARE n int; BEGIN DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND a = n); END$$":                false,
	} {
		j := Read(text)
		if j.Cause != "" || j.Class&statement.Unknown != 0 || (j.Tags&destructive != 0) != want {
			t.Errorf("%s: %s (%s) %s", text, j.Tags, j.Statements[0].Destructive, j.Cause)
		}
	}
}

// A WHERE whose judgement rests on a literal is told from one that does not.
func TestLiteralsThatMatter(t *testing.T) {
	for where, want := range map[string]bool{
		"id = 1": false, "id = 1 AND a > 'x'": false, "id IN (1, 2)": false, "at < now() - interval '1 day'": false, "a BETWEEN 1 AND 2": false,
		"EXISTS (SELECT 1 FROM t x WHERE x.id = t.id LIMIT 1)": true, "id IN (SELECT id FROM (SELECT id FROM t WHERE 1 = 1) s)": true, "id = ANY (ARRAY(SELECT id FROM u))": false,
		"1 = 1": true, "id = 1 OR 2 > 1": true, "name LIKE 'a%'": true, "id + 1 = 2": true, "id = 1 OR id <> 2": true, "length(name) > 3": true,
		"id IN (SELECT id FROM u LIMIT 5)": false, "'t'": true, "f(1)": false, "current_user = 'x'": false, "EXISTS (SELECT 1 FROM u OFFSET 5)": true,
	} {
		text := "DELETE FROM t WHERE " + where
		r, _, err := follow(text)
		if err != nil || r.literal != want {
			t.Errorf("%s: %v, %v", strings.TrimSpace(text), r.literal, err)
		}
	}
}

// CTEs of CTEs are looked into so far and no further.
func TestManyCTEs(t *testing.T) {
	var text strings.Builder
	text.WriteString("WITH x0 AS (SELECT id FROM u)")
	for i := range 40 {
		fmt.Fprintf(&text, ", x%d AS (SELECT id FROM x%d UNION SELECT id FROM x%[2]d)", i+1, i)
	}
	text.WriteString(" DELETE FROM t WHERE id IN (SELECT id FROM x40)")
	if j := Read(text.String()); j.Cause != "" || j.Tags&destructive != 0 {
		t.Errorf("%s %s", j.Tags, j.Cause)
	}
}
