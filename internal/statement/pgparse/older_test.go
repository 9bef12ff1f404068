package pgparse

import (
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// What the grammar knows as SQL/JSON, and PostgreSQL 15 as a call of the database's
// own function.
func TestCallsOfOlderServers(t *testing.T) {
	for text, name := range map[string]string{
		"SELECT json_value('a', 'b')":                                "json_value",
		"SELECT JSON_VALUE/**/('a', 'b') FROM t":                     "json_value",
		"SELECT * FROM json_query('a', 'b')":                         "json_query",
		"DELETE FROM t WHERE id = 1 AND json_exists('a', 'b')":       "json_exists",
		"SELECT json_scalar('x')":                                    "json_scalar",
		"SELECT json('x')":                                           "json",
		"SELECT json_serialize('x')":                                 "json_serialize",
		"SELECT json_object()":                                       "json_object",
		"SELECT json_array()":                                        "json_array",
		"SELECT json_array(1, 2)":                                    "json_array",
		"SELECT json_arrayagg(a ORDER BY b) FILTER (WHERE c) FROM t": "json_arrayagg",
		"SELECT json_arrayagg(a) OVER () FROM t":                     "json_arrayagg",
		"SELECT merge_action()":                                      "merge_action",
		"DO $$BEGIN PERFORM json_value('a', 'b'); END$$":             "json_value",
	} {
		j := Read(text)
		if j.Class&function == 0 || !notes(j, statement.Object{Name: name, Kind: "function", Use: statement.UseExecute}) {
			t.Errorf("%s: %s | %+v", text, j.Class, j.Statements[0].Objects)
		}
	}
	for _, text := range []string{
		"SELECT json_value('a', 'b' RETURNING int)", "SELECT json_value('a', 'b' PASSING 1 AS x)", "SELECT json_value('a', 'b' NULL ON ERROR)",
		"SELECT json_query('a', 'b' WITH WRAPPER)", "SELECT json_query('a', 'b' OMIT QUOTES)", "SELECT json_exists('a' FORMAT JSON, 'b')",
		"SELECT json('x' WITH UNIQUE KEYS)", "SELECT json_serialize('x' RETURNING bytea)", "SELECT json_object('a': 1)", "SELECT json_array(1 NULL ON NULL)",
		"SELECT json_array(SELECT 1)", "SELECT json_arrayagg(a NULL ON NULL) FROM t", "SELECT json_objectagg(a: b) FROM t", "SELECT a IS JSON FROM t",
		"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DO NOTHING RETURNING merge_action(), (SELECT merge_action())",
	} {
		if j := Read(text); j.Cause != "" || j.Class&function != 0 {
			t.Errorf("%s: %s %s", text, j.Class, j.Cause)
		}
	}
}

// system_user is a table's name before PostgreSQL 16.
func TestTableNamedSystemUser(t *testing.T) {
	table := statement.Object{Name: "system_user", Kind: "relation", Use: statement.UseRead}
	for text, want := range map[string]bool{
		"SELECT * FROM system_user": true, "SELECT a FROM SYSTEM_USER AS s (a), t": true,
		"SELECT system_user": false, "SELECT * FROM system_user()": false, "SELECT * FROM pg_catalog.system_user()": false,
	} {
		if j := Read(text); notes(j, table) != want {
			t.Errorf("%s: %s %+v", text, j.Cause, j.Statements[0].Objects)
		}
	}
}
