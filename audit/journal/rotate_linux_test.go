package journal

import (
	"path/filepath"
	"testing"
	"time"
)

// A segment with events is sealed when it is old enough, one without is not.
func TestRotateByAge(t *testing.T) {
	checkLeaks(t)
	o := signedOptions(t, t.TempDir())
	o.Rotate = time.Millisecond
	j := open(t, o)
	waitFor(t, "the end of the first segment", func() bool { return number(j) == 2 })
	waitFor(t, "a checkpoint in the second", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.cur.records > 0
	})
	for range 3 { // nothing has happened
		j.rotateOld()
	}
	if n := number(j); n != 2 {
		t.Errorf("a quiet journal is at segment %d", n)
	}
	record(t, j, testStatement(j.Prepare(testContext())))
	waitFor(t, "the end of the second segment", func() bool { return number(j) == 3 })
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o.Path)
}

// The room for outcomes that are promised goes over to the next segment, and
// where that is too small, a larger one is made.
func TestRotateByAgeKeepsPromises(t *testing.T) {
	o := signedOptions(t, t.TempDir())
	o.Rotate = time.Millisecond
	j := open(t, o)
	p := j.Prepare(testContext())
	var statements []uint64
	for range 40 {
		statements = append(statements, record(t, j, testStatement(p)).Sequence)
	}
	from := number(j)
	waitFor(t, "a rotation", func() bool { return number(j) > from })
	for _, s := range statements {
		record(t, j, testOutcome(p, s))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o.Path)
}

func number(j *Journal) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cur.number
}

// A process is killed as it rotates: the sealed segment is not cut yet, and the next one
// may have begun without a record. What is behind the next start is whole, proven and
// archived.
func TestKilledAtRotation(t *testing.T) {
	for _, more := range []int{-1, 0, 1, 30} {
		o := signedOptions(t, t.TempDir())
		j := open(t, o)
		for range 200 {
			record(t, j, testOutcome(j.Prepare(testContext()), 1))
		}
		killed := rotateAndCopy(t, j, more)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		archiveAll(t, killed)
		o.Path = killed
		people(t, o, 5)
		mustVerify(t, killed)
		archiveAll(t, killed)
		if left := plainFiles(t, killed); len(left) > 0 {
			t.Errorf("%d records behind the rotation: %d plain segments are left", more, len(left))
		}
		people(t, o, 5)
		mustVerify(t, killed)
	}
}

// rotateAndCopy copies a journal that is written, with so many records behind a
// rotation; -1: before anybody could write there.
func rotateAndCopy(t *testing.T, j *Journal, more int) (path string) {
	t.Helper()
	ready := func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.retired) == 0 && !j.spare.making && j.spare.next != nil
	}
	waitFor(t, "the chain and the next segment", ready)
	j.mu.Lock()
	j.rotate(time.Now().UnixNano())
	if more < 0 {
		path = copyTree(t, filepath.Dir(j.id.dir))
	}
	j.mu.Unlock()
	waitFor(t, "the chain and the next segment", ready)
	if more < 0 {
		return path
	}
	for range more {
		record(t, j, testOutcome(j.Prepare(testContext()), 1))
	}
	return copyTree(t, filepath.Dir(j.id.dir))
}
