package oracle

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// settings make PostgreSQL say all that it executes, for a program to read.
var settings = []string{
	"shared_preload_libraries = 'pgaudit'",
	"pgaudit.log = 'all'", "pgaudit.log_relation = on", "pgaudit.log_parameter = on", "pgaudit.log_catalog = on",
	"log_statement = 'all'", "log_min_messages = 'log'",
	"logging_collector = on", "log_destination = 'jsonlog'", "log_directory = 'log'", "log_filename = 'oracle.log'",
	"log_rotation_age = 0", "log_rotation_size = 0",
	"autovacuum = off", "wal_level = logical", "max_prepared_transactions = 10", "max_replication_slots = 20",
}

// dropped logs what a command drops: pgAudit does not say that ALTER TABLE does.
const dropped = `
CREATE EXTENSION pgaudit;
CREATE FUNCTION public.oracle_dropped() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE r record;
BEGIN
  FOR r IN SELECT * FROM pg_catalog.pg_event_trigger_dropped_objects() LOOP
    RAISE LOG 'DROPPED: %,%,%', r.original, r.object_type, r.object_identity;
  END LOOP;
END $$;
CREATE EVENT TRIGGER oracle_dropped ON sql_drop EXECUTE FUNCTION public.oracle_dropped();`

// newSite starts a site whose lab has everything and tells everything.
func newSite(t *testing.T) *testkit.Site {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	s, err := testkit.StartSite(ctx, "", testkit.SiteOptions{Postgres: settings, Fill: testkit.WithLab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.SetupLab(ctx); err != nil {
		t.Fatal(err)
	}
	asSuperuser(t, s, dropped)
	asSuperuser(t, s, "ALTER ROLE "+testkit.LabRole+" SET statement_timeout = '5s'")
	return s
}

func asSuperuser(t *testing.T, s *testkit.Site, sql string) {
	t.Helper()
	if err := s.Postgres.Exec(t.Context(), testkit.LabDatabase, sql); err != nil {
		t.Fatal(err)
	}
}

func serverLog(s *testkit.Site) string {
	return filepath.Join(s.Postgres.Dir, "data", "log", "oracle.json")
}

// fixture makes a schema anew, where there is one.
func fixture(t *testing.T, s *testkit.Site, name string) {
	t.Helper()
	if name == "" {
		return
	}
	sql, err := os.ReadFile(filepath.Join(corpusDir, name))
	if err != nil {
		t.Fatal(err)
	}
	asSuperuser(t, s, "SET client_min_messages = error; SET lock_timeout = '10s'; SET pgaudit.log = 'none'; SET log_statement = 'none'; "+string(sql))
}
