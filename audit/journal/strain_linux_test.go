package journal

import (
	"os"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// halting is a disk that takes its time while it is held.
type halting struct {
	thisMachine
	held sync.RWMutex
}

func (d *halting) sync(file *os.File) error {
	d.held.RLock()
	defer d.held.RUnlock()
	return d.thisMachine.sync(file)
}

// TestHeavyWritersWait: while a slow disk makes the next segment, whoever has filled the
// current one waits for it, and the others do not.
func TestHeavyWritersWait(t *testing.T) {
	checkLeaks(t)
	d := &halting{}
	const size = 1 << 20
	j, err := openOn(Options{Path: t.TempDir(), Node: "n", SegmentSize: size, Reserve: 8 << 10}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	d.held.Lock()
	p := j.Prepare(testContext())
	var heavy, light audit.Budget
	statement := func(b *audit.Budget) {
		st := testStatement(p)
		st.Budget = b
		r, err := j.Record(st)
		if err == nil {
			out := testOutcome(p, r.Sequence)
			out.Budget = b
			_, err = j.Record(out)
		}
		if err != nil {
			t.Error(err)
		}
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		for j.tail.Load() < 4*size {
			statement(&heavy)
		}
	}()
	left := func() int64 {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.spare.next != nil {
			return size
		}
		return j.free()
	}
	waitFor(t, "little room", func() bool { return left() < size/waitsForSure })
	if !j.MayWait(&heavy) {
		t.Error("whoever has filled the segment is not said to wait")
	}
	for range 50 {
		if j.MayWait(&light) || j.MayWait(nil) {
			t.Fatal("others are said to wait")
		}
		statement(&light)
	}
	if now := left(); now < size/waitsForSure/2 {
		t.Errorf("%d bytes are left to the others", now)
	}
	select {
	case <-written:
		t.Error("nobody waited for the disk")
	default:
	}
	d.held.Unlock()
	<-written
	if j.strained.Load() && j.spare.next != nil {
		t.Error("it is strained with a segment ready")
	}
}
