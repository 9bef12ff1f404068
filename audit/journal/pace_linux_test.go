package journal

import "testing"

// The archiver rests until another segment waits, and who makes the next segment until
// somebody waits for that, or half of the current one is written.
func TestWhoIsWaitedForDoesNotRest(t *testing.T) {
	a := newArchiver(thisMachine{}, t.TempDir(), nil, nil)
	if a.pace.rests != 0 {
		t.Error("an archiver rests that nobody told to")
	}
	a.unhurried()
	if a.pace.rests != restsFor || a.pace.hurry() {
		t.Error("it hurries while nothing waits")
	}
	a.kick()
	if !a.pace.hurry() {
		t.Error("it rests while a segment waits")
	}

	j := open(t, Options{Path: t.TempDir(), Node: "n", SegmentSize: 1 << 20})
	st := testStatement(j.Prepare(testContext()))
	if j.spare.pace.rests != restsFor || j.awaited() {
		t.Error("a new journal is in a hurry")
	}
	number := func() uint64 {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.cur.number
	}
	for !j.spare.pace.hurry() {
		record(t, j, st)
		j.Release(1)
		if number() > 1 {
			t.Fatal("the segment was full, and nobody hurried")
		}
	}
}
