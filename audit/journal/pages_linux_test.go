package journal

import (
	"bytes"
	"os"
	"testing"
)

// What the kernel is told about pages changes nothing that a reader sees, in
// the mapping or in the file.
func TestPagesKeepTheirContent(t *testing.T) {
	for name, awaited := range map[string]bool{"coarse": false, "fine": true} {
		t.Run(name, func(t *testing.T) { testPages(t, awaited) })
	}
}

func testPages(t *testing.T, awaited bool) {
	t.Helper()
	j := open(t, Options{Path: t.TempDir(), Node: "n", SegmentSize: 16 << 20, AwaitsDisk: awaited})
	st := testStatement(j.Prepare(testContext()))
	write := func() {
		for range 20000 {
			if _, err := j.Record(st); err != nil {
				t.Fatal(err)
			}
			j.Release(1)
		}
	}
	write()
	j.mu.Lock() // the chain may be writing a checkpoint
	s, pos := j.cur, j.cur.pos
	j.mu.Unlock()
	before := bytes.Clone(s.m[:pos])

	j.flush.idle.Lock() // as whoever syncs
	s.prepare(pos)
	s.prepare(s.size) // a later segment has begun
	s.chained.Store(pos)
	s.release()
	released := s.released
	j.flush.idle.Unlock()
	if released < behindBytes || released > pos {
		t.Errorf("%d of %d bytes were given back", released, pos)
	}
	if !bytes.Equal(before, s.m[:pos]) {
		t.Error("the mapping has changed")
	}
	write()
	path := s.path()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before[headerSize:], file[headerSize:pos]) {
		t.Error("the file has changed")
	}
}
