package journal

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// flushEvery bounds what a loss of power can take of records that nobody waits
// for.
const flushEvery = time.Second

// flusher brings records to the disk for all who wait, at once.
type flusher struct {
	synced atomic.Int64 // position that is on the disk
	// awaited is set while somebody waits for the disk: it is synced all the time.
	awaited atomic.Bool
	// known is set once somebody has waited, or is known to.
	known atomic.Bool
	wake  chan struct{} // holds one
	idle  sync.Mutex    // held while a flush runs

	mu sync.Mutex
	// Guarded by mu.
	round chan struct{} // closed at the end of the flush that comes or runs
	err   error         // sticky
	ended bool
}

func (f *flusher) init(awaits bool) {
	f.known.Store(awaits)
	f.wake = make(chan struct{}, 1)
	f.round = make(chan struct{})
}

// grain is that of the segments to come.
func (f *flusher) grain() grain {
	if f.known.Load() {
		return fine
	}
	return coarse
}

func (f *flusher) kick() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *flusher) wait(ctx context.Context, pos int64) error {
	for {
		f.mu.Lock()
		round, err, ended := f.round, f.err, f.ended
		f.mu.Unlock()
		if pos <= f.synced.Load() {
			return nil
		}
		if err != nil {
			return err
		}
		if ended {
			return errClosed
		}
		f.awaited.Store(true)
		f.known.Store(true)
		f.kick()
		select {
		case <-round:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// done ends a round. A failure stays: what an fdatasync could not write, a later
// one that succeeds has not written either.
func (f *flusher) done(pos int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.err == nil {
		f.err = err
	}
	if f.err == nil {
		f.synced.Store(max(pos, f.synced.Load()))
	}
	close(f.round)
	f.round = make(chan struct{})
}

func (f *flusher) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// end tells all who wait that no flush will come. All up to pos is on the disk.
func (f *flusher) end(pos int64, err error) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.done(pos, err)
}

// flushLoop is the goroutine that syncs.
func (j *Journal) flushLoop() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-j.flush.wake:
		case <-tick.C:
			if j.rotateAfter > 0 {
				j.rotateOld()
			}
		}
		j.flushOnce()
	}
}

func (j *Journal) flushOnce() {
	j.flush.idle.Lock()
	defer j.flush.idle.Unlock()
	if j.flush.failed() {
		return // a sync that succeeds now would mark as written what is not
	}
	j.mu.Lock()
	retired, cur, pos := j.retired, j.cur, j.cur.pos
	j.retired = nil
	j.mu.Unlock()

	end := cur.base + pos
	if end == j.flush.synced.Load() && len(retired) == 0 {
		j.flush.done(end, nil)
		return
	}
	// The blobs that these records name were committed before.
	err := j.blobs.sync()
	left := retired
	if err == nil {
		left, err = syncSegments(retired, cur, pos)
	}
	j.mu.Lock()
	j.retired = append(left, j.retired...)
	if err != nil {
		err = fmt.Errorf("%w: %w", audit.ErrBroken, err)
		j.fail(err)
	}
	j.mu.Unlock()
	j.flush.done(end, err)
	if j.archive != nil && len(left) < len(retired) {
		j.archive.kick()
	}
}

// syncSegments syncs the retired segments and gives up those that the chain has
// passed, then syncs the current one up to pos. It returns the retired ones that
// are still mapped.
func syncSegments(retired []*segment, cur *segment, pos int64) ([]*segment, error) {
	left, err := retireSegments(retired)
	if err != nil {
		return left, err
	}
	if err := cur.sync(); err != nil {
		return left, err
	}
	return left, guard(func() { cur.mark(pos) })
}

func retireSegments(retired []*segment) (left []*segment, err error) {
	for i, s := range retired {
		if !s.synced {
			if err := s.sync(); err != nil {
				return append(left, retired[i:]...), err
			}
			s.synced = true
		}
		if !s.hashed.Load() {
			left = append(left, s)
			continue
		}
		if err := s.retire(); err != nil {
			return append(left, retired[i+1:]...), err
		}
	}
	return left, nil
}
