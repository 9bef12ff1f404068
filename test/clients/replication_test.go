package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestReplication takes a base backup, receives WAL, decodes changes and feeds a
// subscription, all through the proxy, and finds the commands on record.
func TestReplication(t *testing.T) {
	s := testkit.SharedSite(t)
	t.Run("backup", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "copy")
		if out := run(t, "", "pg_basebackup", "-d", s.LabProxied(), "-D", dir, "-X", "stream", "-c", "fast"); out != "" {
			t.Fatal(out)
		}
		if out := run(t, "", "pg_verifybackup", dir); !strings.Contains(out, "successfully verified") {
			t.Error(out)
		}
		onRecord(t, s, "BASE_BACKUP", "bulk_export", "replication")
		s.Await(t, "what the backup came to", func(r *journal.Record) bool { // a new cluster has 20 MB and more
			return r.Type == audit.Outcome && strings.HasSuffix(r.Command, "BASE_BACKUP") && r.Result == audit.Completed && r.Bytes > 10<<20
		})
		onRecord(t, s, "START_REPLICATION PHYSICAL", "bulk_export", "replication")
	})
	t.Run("wal", func(t *testing.T) {
		dir := t.TempDir()
		end, err := s.Postgres.Value(t.Context(), testkit.LabDatabase, "SELECT pg_switch_wal()")
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"--slot", "through", "--create-slot"},
			{"--slot", "through", "-D", dir, "--endpos", end, "--no-loop"},
			{"--slot", "through", "--drop-slot"},
		} {
			out := run(t, "", "pg_receivewal", append([]string{"-d", s.LabProxied()}, args...)...)
			// It says so where the end stands inside a segment, directly too.
			if out != "" && !strings.Contains(out, "segment is not complete") {
				t.Error(out)
			}
		}
		onRecord(t, s, "DROP_REPLICATION_SLOT", "destructive", "replication")
	})
	t.Run("decoding", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		run(t, "", "pg_recvlogical", "-d", s.LabProxied(), "--slot", "decoded", "--create-slot")
		ask(t, s, "CREATE TABLE decoded (n int)")
		ask(t, s, "INSERT INTO decoded VALUES (4711)")
		end := ask(t, s, "SELECT pg_current_wal_lsn()")
		run(t, "", "pg_recvlogical", "-d", s.LabProxied(), "--slot", "decoded", "--start", "-f", out, "--endpos", end, "--no-loop")
		run(t, "", "pg_recvlogical", "-d", s.LabProxied(), "--slot", "decoded", "--drop-slot")
		if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), "4711") {
			t.Errorf("decoded %q, %v", text, err)
		}
		onRecord(t, s, "START_REPLICATION LOGICAL", "bulk_export", "replication")
	})
	t.Run("subscription", func(t *testing.T) { testSubscription(t, s) })
	t.Run("sql", func(t *testing.T) {
		for _, dsn := range []string{"replication=true", "replication=database"} {
			const script = "SHOW server_version_num;\nSELECT 1;\nIDENTIFY_SYSTEM extra;\nTIMELINE_HISTORY 77;\nSHOW data_directory_mode;"
			same(t, run(t, script, "psql", "-X", "-d", s.LabDirect()+" "+dsn), run(t, script, "psql", "-X", "-d", s.LabProxied()+" "+dsn))
		}
	})
}

// testSubscription has another database of the same cluster subscribe to the lab's
// table by way of the proxy.
func testSubscription(t *testing.T, s *testkit.Site) {
	t.Helper()
	const other = "subscriber"
	exec := func(database, sql string) {
		t.Helper()
		if err := s.Postgres.Exec(t.Context(), database, sql); err != nil {
			t.Fatal(err)
		}
	}
	const table = "CREATE TABLE published (n int PRIMARY KEY)"
	exec("postgres", "CREATE DATABASE "+other)
	exec(other, table)
	ask(t, s, table+"; INSERT INTO published VALUES (1)")
	ask(t, s, "CREATE PUBLICATION all_of_it FOR TABLE published")
	// Within one cluster the command may not make the slot: it would wait for itself.
	exec(testkit.LabDatabase, "SELECT pg_create_logical_replication_slot('through_proxy', 'pgoutput')")
	dsn := fmt.Sprintf("host=%s port=%d user=svc-orders password=%s dbname=%s sslmode=require", s.Host, s.Port, testkit.OrdersPassword, testkit.LabDatabase)
	exec(other, "CREATE SUBSCRIPTION through_proxy CONNECTION '"+dsn+"' PUBLICATION all_of_it WITH (create_slot = false)")
	ask(t, s, "INSERT INTO published VALUES (2)")
	err := testkit.WaitFor(t.Context(), func() error {
		n, err := s.Postgres.Value(t.Context(), other, "SELECT count(*) FROM published")
		if err == nil && n != "2" {
			err = fmt.Errorf("%s of 2 rows have come", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	exec(other, "DROP SUBSCRIPTION through_proxy")
	exec("postgres", "DROP DATABASE "+other+" WITH (FORCE)")
}

// TestReplicationRefused holds that a replication connection needs its rule.
func TestReplicationRefused(t *testing.T) {
	s := testkit.SharedSite(t)
	for _, kind := range []string{"database", "true"} {
		dsn := s.DSN("bob", testkit.BobPassword, testkit.OrdersDatabase) + " replication=" + kind
		out := run(t, "IDENTIFY_SYSTEM;", "psql", "-X", "-d", dsn)
		// No rule of bob's is about what a physical one is known by.
		if kind == "database" && !strings.Contains(out, "permission denied for a replication connection") || !strings.Contains(out, "FATAL") {
			t.Errorf("replication=%s: %s", kind, out)
		}
	}
	s.Await(t, "the refusal", func(r *journal.Record) bool {
		return r.Cause == "replication_not_allowed" && r.Decision == audit.Denied && r.Principal.Account == "bob"
	})
}

func ask(t *testing.T, s *testkit.Site, sql string) string {
	t.Helper()
	return strings.TrimSpace(run(t, "", "psql", "-XAtq", "-d", s.LabDirect(), "-c", sql))
}

// onRecord waits for a walsender command with these tags.
func onRecord(t *testing.T, s *testkit.Site, command string, tags ...string) {
	t.Helper()
	s.Await(t, command, func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Command == command && r.Decision == audit.Allowed && strings.Join(r.Tags, " ") == strings.Join(tags, " ")
	})
}
