package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// One who has used up a budget is refused; others, and what tells of it, are not.
func TestInvariant9BudgetHoldsOnePrincipal(t *testing.T) {
	j := open(t, Options{Path: t.TempDir(), Node: "n", SegmentSize: 1 << 20})
	var greedy, other audit.Budget
	for _, b := range []*audit.Budget{&greedy, &other} {
		b.SetLimits(audit.BudgetLimits{Rate: 1, Burst: 64 << 10})
	}
	st := testStatement(j.Prepare(testContext()))
	st.Budget = &greedy
	done := untilRefused(t, j, st)
	if len(done) < 100 || len(done) > 400 {
		t.Errorf("%d statements in 64 KiB", len(done))
	}
	denied := *st
	denied.Decision = audit.Denied
	rollback := *st
	rollback.Command = "ROLLBACK"
	for _, ev := range []*audit.Event{&denied, &rollback} {
		record(t, j, ev)
	}
	for _, s := range done {
		ev := testOutcome(st.Prepared, s)
		ev.Budget = &greedy
		record(t, j, ev) // what ran is told in any case
	}
	// Nor is there an end to what denials may take.
	for n := 0; ; n++ {
		if _, err := j.Record(&denied); errors.Is(err, audit.ErrBudget) && !errors.Is(err, audit.ErrFull) {
			break
		} else if err != nil || n > 1000 {
			t.Fatal(n, err)
		}
	}
	st.Budget = &other
	record(t, j, st)
}

func untilRefused(t *testing.T, j *Journal, st *audit.Event) (sequences []uint64) {
	t.Helper()
	for {
		r, err := j.Record(st)
		if errors.Is(err, audit.ErrBudget) {
			return sequences
		}
		if err != nil {
			t.Fatalf("after %d statements: %v", len(sequences), err)
		}
		j.Release(1)
		if sequences = append(sequences, r.Sequence); len(sequences) > 1e6 {
			t.Fatal("nothing ends it")
		}
	}
}

// One who writes all that the rates allow does not get all of the disk.
func TestInvariant9NobodyFillsTheDisk(t *testing.T) {
	checkLeaks(t)
	disk := mountTmpfs(t, "size=64m")
	j := open(t, Options{Path: filepath.Join(disk, "journal"), Node: "n", SegmentSize: 1 << 20, Reserve: 64 << 10, Floor: 1 << 30})
	var greedy, second, third audit.Budget
	st := testStatement(j.Prepare(testContext()))
	st.Text = strings.Repeat("x", 8000)
	write := func(b *audit.Budget) int {
		t.Helper()
		st.Budget = b
		return len(untilRefused(t, j, st))
	}
	first := write(&greedy)
	if !j.Scarce() {
		t.Error("the room is not scarce")
	}
	if _, err := j.Record(st); !errors.Is(err, audit.ErrFull) || !errors.Is(err, audit.ErrBudget) {
		t.Errorf("beyond the share: %v", err)
	}
	one, two := write(&second), write(&third)
	t.Logf("%d, %d and %d statements of 8 KB on a disk of 64 MB", first, one, two)
	if first < 4000 || one < 50 || two < 50 {
		t.Error("somebody got too little")
	}
	if one <= two/2 {
		t.Error("the second got less than who came behind")
	}
	for range 100 {
		record(t, j, &audit.Event{Type: audit.Authentication, Context: testContext()})
	}
	// With room again, all is as it was.
	removeOldest(t, j)
	for deadline := time.Now().Add(20 * time.Second); ; {
		st.Budget = &greedy
		if _, err := j.Record(st); err == nil {
			return
		} else if !errors.Is(err, audit.ErrBudget) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// removeOldest makes room as retention does.
func removeOldest(t *testing.T, j *Journal) {
	t.Helper()
	for n := uint64(1); n < 40; n++ {
		if err := os.Remove(segmentPath(j, n)); err != nil {
			t.Fatal(err)
		}
	}
}
