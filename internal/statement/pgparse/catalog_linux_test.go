package pgparse

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// server starts a PostgreSQL with all of its own extensions.
func server(t *testing.T) *testkit.Postgres {
	t.Helper()
	p, err := testkit.StartPostgres(t.Context(), "", testkit.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	const create = `DO $$ DECLARE e text; BEGIN
	FOR e IN SELECT name FROM pg_available_extensions WHERE name = ANY (string_to_array('adminpack amcheck bloom dblink dict_int
		dict_xsyn file_fdw intagg lo old_snapshot pageinspect pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements pg_surgery
		pg_trgm pg_visibility pg_walinspect pgcrypto pgrowlocks pgstattuple postgres_fdw sslinfo tablefunc tsm_system_rows
		tsm_system_time unaccent uuid-ossp xml2', ' '))
	LOOP EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I', e); END LOOP; END $$`
	if err := p.Exec(t.Context(), "postgres", strings.ReplaceAll(create, "\n\t\t", " ")); err != nil {
		t.Fatal(err)
	}
	return p
}

// The tables agree with a real server.
func TestCatalog(t *testing.T) {
	p := server(t)
	t.Run("every volatile function", func(t *testing.T) { everyVolatileFunction(t, p) })
	t.Run("names", func(t *testing.T) { tableNamesFunctions(t, p) })
	t.Run("fastpath", func(t *testing.T) { fastpathOIDs(t, p) })
}

// list returns the words of a query's one value.
func list(t *testing.T, p *testkit.Postgres, query string) []string {
	t.Helper()
	v, err := p.Value(t.Context(), "postgres", "SELECT string_agg(DISTINCT name, ' ' ORDER BY name) FROM ("+query+") q (name)")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(v)
}

// Every volatile function of a real server stands in the table: among those that
// act, or among the harmless.
func everyVolatileFunction(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	table := functionTable()
	names := list(t, p, "SELECT proname FROM pg_proc WHERE provolatile = 'v' AND pronamespace = 'pg_catalog'::regnamespace "+
		"AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e' AND refobjid <> (SELECT oid FROM pg_extension WHERE extname = 'plpgsql'))")
	if len(names) < 200 {
		t.Fatalf("%d functions only", len(names))
	}
	for _, name := range names {
		acts, harmless := table[ofCatalog].find(name), table[harmlessOfCatalog].find(name)
		if (acts == nil) == (harmless == nil) {
			t.Errorf("pg_catalog.%s: acts %v, harmless %v", name, acts != nil, harmless != nil)
		}
	}
	extensions := list(t, p, "SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e' "+
		"JOIN pg_extension e ON e.oid = d.refobjid WHERE p.provolatile = 'v' AND e.extname <> 'plpgsql' AND p.prorettype <> 'trigger'::regtype")
	if len(extensions) < 100 {
		t.Fatalf("%d functions of extensions only", len(extensions))
	}
	for _, name := range extensions {
		if table[ofExtensions].find(name) == nil && table[harmlessOfExtensions].find(name) == nil {
			t.Errorf("%s of an extension is not in the table", name)
		}
		if !builtins()[name] && functionAction("", name).class&function == 0 {
			t.Errorf("%s of an extension is trusted", name)
		}
	}
}

// What the table names in pg_catalog is there, or belongs to another version.
func tableNamesFunctions(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	there := map[string]bool{}
	for _, name := range list(t, p, "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace") {
		there[name] = true
	}
	otherVersions := map[string]bool{
		"pg_start_backup": true, "pg_stop_backup": true, // up to 14
		"pg_log_standby_snapshot":   true,                                   // 16
		"pg_sync_replication_slots": true,                                   // 17
		"pg_clear_relation_stats":   true, "pg_clear_attribute_stats": true, // 18
		"pg_restore_relation_stats": true, "pg_restore_attribute_stats": true, // 18
		"pg_get_sequence_data": true, // 18
	}
	for _, section := range []int{ofCatalog, harmlessOfCatalog} {
		for name := range functionTable()[section].exact {
			if !there[name] && !otherVersions[name] {
				t.Errorf("pg_catalog has no %s", name)
			}
		}
	}
	for name := range builtins() {
		if !there[name] {
			t.Errorf("builtins.txt has %s, pg_catalog has not", name)
		}
	}
}

// The OIDs of FunctionCall messages are those of a real server.
func fastpathOIDs(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	for _, pair := range list(t, p, "SELECT oid || ':' || proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname LIKE 'lo\\_%' OR proname IN ('loread', 'lowrite'))") {
		oid, name, _ := strings.Cut(pair, ":")
		n := uint32(0)
		for _, digit := range oid {
			n = n*10 + uint32(digit-'0')
		}
		if s := statement.Fastpath(n); s.Class&statement.Unknown != 0 || s.Objects[0].Name != name {
			t.Errorf("%s: %+v", pair, s)
		}
	}
}
