package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// mountTmpfs gives a file system of its own. The tests of full disks need it,
// and say so where they may not have it.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		_ = os.Remove(dir)
		t.Fatalf("this test mounts a small tmpfs, which needs root (CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		_ = os.Remove(dir)
	})
	return dir
}

// fillJournal records statements until there is no room, and returns their
// sequences.
func fillJournal(t *testing.T, j *Journal) []uint64 {
	t.Helper()
	st := testStatement(j.Prepare(testContext()))
	var done []uint64
	for {
		r, err := j.Record(st)
		if err != nil {
			if !errors.Is(err, audit.ErrFull) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), j.id.dir) {
				t.Fatalf("a full disk gives %v", err)
			}
			return done
		}
		if done = append(done, r.Sequence); len(done) > 1e6 {
			t.Fatal("the disk does not fill")
		}
	}
}

func TestFullDisk(t *testing.T) {
	checkLeaks(t)
	disk := mountTmpfs(t, "size=8m")
	o := Options{Path: filepath.Join(disk, "journal"), Node: "n", SegmentSize: 1 << 20, Reserve: 128 << 10}
	j := open(t, o)
	defer j.Close()
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	statements := fillJournal(t, j)
	if len(statements) < 100 {
		t.Fatalf("only %d statements fitted", len(statements))
	}
	// What the reserve is for still fits, and so does what was promised.
	p := j.Prepare(testContext())
	for _, ev := range []*audit.Event{
		{Type: audit.Authentication, Context: testContext(), Decision: audit.Allowed},
		{Type: audit.Revocation, Prepared: p},
		{Type: audit.SessionEnd, Prepared: p},
		{Type: audit.Statement, Prepared: p, Decision: audit.Denied, Text: "DROP TABLE orders"},
		{Type: audit.Statement, Prepared: p, Decision: audit.Unavailable, Text: "SELECT 1"},
	} {
		record(t, j, ev)
	}
	long := strings.Repeat("m", 10000)
	for _, s := range statements {
		ev := testOutcome(p, s)
		ev.Result, ev.Message = audit.Failed, long
		record(t, j, ev)
	}
	if j.promised != 0 {
		t.Errorf("%d outcomes are still promised", j.promised)
	}
	fillJournal(t, j) // outcomes that were shorter than what was kept left some room
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitForRoom(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	checkFullDisk(t, o.Path, statements)
}

// waitForRoom records a statement as soon as there is room again.
func waitForRoom(t *testing.T, j *Journal) {
	t.Helper()
	st := testStatement(j.Prepare(testContext()))
	for deadline := time.Now().Add(10 * time.Second); ; {
		r, err := j.Record(st)
		if err == nil {
			if err := j.Wait(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, audit.ErrFull) || time.Now().After(deadline) {
			t.Fatalf("with room again: %v", err)
		}
	}
}

func checkFullDisk(t *testing.T, path string, statements []uint64) {
	t.Helper()
	outcomes := map[uint64]int{}
	all := readEvents(t, path)
	for _, r := range all {
		if r.Type == audit.Outcome {
			outcomes[r.Statement]++
		}
	}
	for _, s := range statements {
		if outcomes[s] != 1 {
			t.Fatalf("statement %d has %d outcomes", s, outcomes[s])
		}
	}
	if last := all[len(all)-1]; last.Type != audit.Statement {
		t.Errorf("the last record is %s", last.Type)
	}
}

// The reserve is not for statements that were denied, strangers, and those who guess
// passwords alone: log-ins go on.
func TestDenialsLeaveRoomForLogins(t *testing.T) {
	disk := mountTmpfs(t, "size=4m")
	j := open(t, Options{Path: disk, Node: "n", SegmentSize: 1 << 20, Reserve: 128 << 10})
	defer j.Close()
	fillJournal(t, j)
	denied := testStatement(j.Prepare(testContext()))
	denied.Decision = audit.Denied
	for _, ev := range []*audit.Event{
		denied,
		{Type: audit.Connection, Decision: audit.Denied, Cause: "limit"},
		{Type: audit.Authentication, Decision: audit.Denied, Claimed: "alice", Context: testContext()},
	} {
		for {
			if _, err := j.Record(ev); err != nil {
				if !errors.Is(err, audit.ErrFull) {
					t.Fatal(err)
				}
				break
			}
		}
	}
	for range 50 {
		record(t, j, &audit.Event{Type: audit.Authentication, Context: testContext()})
	}
}

// Whoever holds a transaction open when the room runs out can end it.
func TestFullJournalTakesARollback(t *testing.T) {
	disk := mountTmpfs(t, "size=4m")
	j := open(t, Options{Path: disk, Node: "n", SegmentSize: 1 << 20, Reserve: 128 << 10})
	defer j.Close()
	fillJournal(t, j)
	rollback := testStatement(j.Prepare(testContext()))
	rollback.Command, rollback.Text = "ROLLBACK", "ROLLBACK"
	r := record(t, j, rollback)
	record(t, j, &audit.Event{Type: audit.Outcome, Prepared: rollback.Prepared, Statement: r.Sequence, Result: audit.Completed, Rows: -1})
}

func TestOpenOnAFullDisk(t *testing.T) {
	disk := mountTmpfs(t, "size=256k")
	_, err := Open(Options{Path: disk, Node: "n", SegmentSize: 1 << 20})
	if !errors.Is(err, audit.ErrFull) {
		t.Errorf("Open: %v", err)
	}
	for _, left := range readNames(t, disk) {
		if left != blobFolder && left != digestKeyName {
			t.Errorf("left behind: %s", left)
		}
	}
}

func TestReadOnly(t *testing.T) {
	disk := mountTmpfs(t, "size=4m,ro")
	if _, err := Open(Options{Path: filepath.Join(disk, "j"), Node: "n"}); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("Open: %v", err)
	}
	if _, err := Open(Options{Path: disk, Node: "n"}); !errors.Is(err, audit.ErrBroken) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("Open: %v", err)
	}
}

// Where no segment can be made, statements are refused, and work again when one
// can.
func TestDirectoryGoesAway(t *testing.T) {
	checkLeaks(t)
	j := open(t, small(t))
	defer j.Close()
	away := j.id.dir + ".away"
	if err := os.Rename(j.id.dir, away); err != nil {
		t.Fatal(err)
	}
	st := testStatement(j.Prepare(testContext()))
	var err error
	for range 10000 {
		if _, err = j.Record(st); err != nil {
			break
		}
		j.Release(1)
	}
	if !errors.Is(err, audit.ErrBroken) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("without the directory: %v", err)
	}
	if err := os.Rename(away, j.id.dir); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err = j.Record(st); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A fault of the mapping, as an I/O error gives it, is an error and not the end
// of the process.
func TestSIGBUS(t *testing.T) {
	checkLeaks(t)
	j := open(t, small(t))
	if err := os.Truncate(segmentPath(j, 1), 0); err != nil {
		t.Fatal(err)
	}
	st := testStatement(j.Prepare(testContext()))
	for range 3 {
		if _, err := j.Record(st); !errors.Is(err, audit.ErrBroken) {
			t.Fatalf("Record: %v", err)
		}
	}
	if err := j.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// A sync that failed is never taken for one that worked later.
func TestFailedSyncSticks(t *testing.T) {
	checkLeaks(t)
	j := open(t, small(t))
	st := testStatement(j.Prepare(testContext()))
	r := record(t, j, st)
	if err := j.Wait(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	good := j.cur.file
	_, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	r2 := record(t, j, st)
	swapFile(j, closed)
	if err := j.Wait(t.Context(), r2); !errors.Is(err, audit.ErrBroken) {
		t.Fatalf("Wait: %v", err)
	}
	swapFile(j, good)
	if err := j.Wait(t.Context(), r2); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("Wait after it: %v", err)
	}
	if err := j.Wait(t.Context(), r); err != nil {
		t.Errorf("Wait for what was synced before: %v", err)
	}
	if _, err := j.Record(st); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("Record: %v", err)
	}
}

// swapFile replaces what is synced, while the flusher is at rest.
func swapFile(j *Journal, f *os.File) {
	j.flush.idle.Lock()
	defer j.flush.idle.Unlock()
	j.cur.file = f
}

func TestWaitEndsWithItsContext(t *testing.T) {
	j := open(t, small(t))
	r := record(t, j, testStatement(j.Prepare(testContext())))
	j.flush.idle.Lock()
	defer j.flush.idle.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := j.Wait(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := j.Wait(t.Context(), audit.Receipt{Position: 1 << 40}); err == nil {
		t.Error("a receipt that nobody gave is waited for")
	}
}
