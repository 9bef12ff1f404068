package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// smallDisk mounts a file system of its own, of so many MiB.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgcd")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", size)); err != nil {
		t.Fatalf("mount a small file system (as root): %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(syscall.Unmount(dir, 0), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the room that is left.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
}

// TestFullDisk takes the room from the journal: what cannot be recorded does not
// run, and all goes on once there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 80)
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.Journal = filepath.Join(disk, "journal")
		c.SegmentSize = "4MiB"
	})
	t.Cleanup(func() { closeLedger(s) })
	bystand(t, s)
	worker := connect(t, s.LabProxied())
	idle := connect(t, s.LabProxied())
	mustExec(t, worker, "CREATE TABLE filled (n int)")
	ballast := filepath.Join(disk, "ballast")
	pad := strings.Repeat("x", 4000)
	insert := func(n int) (string, error) {
		sql := fmt.Sprintf("INSERT INTO filled VALUES (%d) /* %s */", n, pad)
		_, err := run(t, worker, sql)
		return sql, err
	}

	inserted := 0
	for range 3 { // times that the disk is full
		fill(t, ballast)
		refusal := untilRefused(t, func() error {
			_, err := insert(inserted)
			if err == nil {
				inserted++
			}
			return err
		})
		e := refused(t, refusal, "53100", "the audit journal is full")
		if incidentOf(t, e.Detail); e.Hint == "" || e.Severity != "ERROR" {
			t.Errorf("%s, hint %q", e.Severity, e.Hint)
		}
		whileFull(t, s, idle)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			_, err := insert(inserted)
			if err == nil {
				inserted++
			}
			return err
		})
	}
	allOnRecord(t, s, inserted)
	t.Run("an open transaction", func(t *testing.T) { openOnFullDisk(t, s, ballast) })
}

// untilRefused does something until it fails.
func untilRefused(t *testing.T, do func() error) error {
	t.Helper()
	const most = 20_000
	for range most {
		if err := do(); err != nil {
			return err
		}
	}
	t.Fatalf("%d statements were recorded on a full disk", most)
	return nil
}

// whileFull is what goes on, and what does not, while the journal has no room
// for statements.
func whileFull(t *testing.T, s *testkit.Site, idle *pgconn.PgConn) {
	t.Helper()
	big := "SELECT 'no room for this' /* " + strings.Repeat("y", 8000) + " */"
	_, err := run(t, idle, big)
	refused(t, err, "53100", "the audit journal is full")
	results := idle.ExecParams(t.Context(), big, nil, nil, nil, nil).Read()
	refused(t, results.Err, "53100", "the audit journal is full")
	// There is a reserve for log-ins, so that whoever makes room can come in.
	c := dialTLS(t, s).enter(startup("user", "alice", "database", testkit.OrdersDatabase), testkit.AlicePassword)
	await(t, s, "the log-in", all(from(c.source), ofType(audit.SessionStart)))
	c.write(query("DROP TABLE orders")...)
	e := c.complaint("ERROR", "", "")
	c.ready()
	if e.Code != "42501" && e.Code != "53100" {
		t.Errorf("a denied statement is answered with %s %s", e.Code, e.Message)
	}
	if e.Code == "42501" {
		await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
	}
}

// allOnRecord compares what the table holds with what was recorded, and with
// what clients were told.
func allOnRecord(t *testing.T, s *testkit.Site, inserted int) {
	t.Helper()
	n := asSuperuser(t, s, testkit.LabDatabase, "SELECT count(*) || ' ' || count(DISTINCT n) FROM filled")
	if want := fmt.Sprintf("%d %d", inserted, inserted); n != want {
		t.Errorf("the table has %s rows, clients were told of %s", n, want)
	}
	recorded, err := records(s, func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Decision == audit.Allowed && strings.HasPrefix(r.Text, "INSERT INTO filled")
	})
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := records(s, func(r *journal.Record) bool { return r.Type == audit.Outcome && r.Result == audit.Completed })
	if err != nil {
		t.Fatal(err)
	}
	done := make(map[uint64]bool, len(outcomes))
	for i := range outcomes {
		done[outcomes[i].Statement] = true
	}
	completed := 0
	for i := range recorded {
		if done[recorded[i].Sequence] {
			completed++
		}
	}
	if completed != inserted {
		t.Errorf("%d statements of %d have their completion on record", completed, inserted)
	}
}

// openOnFullDisk is a transaction that was open when the room went: what its
// client is told of the COMMIT is what becomes of it.
func openOnFullDisk(t *testing.T, s *testkit.Site, ballast string) {
	t.Helper()
	open, worker := connect(t, s.LabProxied()), connect(t, s.LabProxied())
	mustExec(t, open, "CREATE TABLE kept (n int)")
	mustExec(t, open, "BEGIN; INSERT INTO kept VALUES (1)")
	fill(t, ballast)
	pad := "SELECT 1 /* " + strings.Repeat("x", 4000) + " */"
	refused(t, untilRefused(t, func() error { _, err := run(t, worker, pad); return err }), "53100", "full")
	refused(t, untilRefused(t, func() error { _, err := run(t, worker, "SELECT 1"); return err }), "53100", "full")

	_, err := run(t, open, "COMMIT")
	if err != nil {
		refused(t, err, "53100", "full")
	}
	told := err == nil
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = open.Close(ctx)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { _, err := run(t, worker, "SELECT 1"); return err })
	if n := asSuperuser(t, s, testkit.LabDatabase, "SELECT count(*) FROM kept"); (n == "1") != told {
		t.Errorf("the client was told of the commit: %v; the table has %s rows", told, n)
	}
}
