package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// retainEvery is how often what may be removed is looked for.
const retainEvery = time.Hour

// retainer removes what the configuration does not keep.
type retainer struct {
	*archiver
	policy Retention
	upkeep Upkeep
	own    string // the stream that this process writes
	record func(*audit.Event) error
	now    func() time.Time

	proven map[string]uint32 // tiers of segments that were read whole, and are to stay
}

func newRetainer(a *archiver, o *Options, own string, record func(*audit.Event) error) *retainer {
	return &retainer{
		archiver: a, policy: o.Retention, upkeep: o.Upkeep, own: own, record: record, now: time.Now, proven: map[string]uint32{},
	}
}

// recordRemoval records an event of the journal's own, and waits for the disk.
func (j *Journal) recordRemoval(ev *audit.Event) error {
	r, err := j.Record(ev)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-j.stop: // nobody flushes any more
			cancel()
		case <-ctx.Done():
		}
	}()
	return j.Wait(ctx, r)
}

// retain is a pass. The error is of what keeps all of it from going on.
func (r *retainer) retain() error {
	size, err := treeSize(r.path)
	if err != nil {
		return err
	}
	heads, err := r.heads()
	if err != nil {
		return err
	}
	for len(heads) > 0 && !r.stopped() {
		at := 0
		for i, h := range heads {
			if h.label.Latest.Before(heads[at].label.Latest) {
				at = i
			}
		}
		freed, err := r.consider(heads[at], r.policy.Size > 0 && size > r.policy.Size)
		if err != nil {
			r.observer.ArchiveFailed(filepath.Join(heads[at].dir, fileName(heads[at].numbers[0])), err)
		}
		size -= freed
		if freed == 0 || err != nil || !r.next(heads[at]) {
			heads = append(heads[:at], heads[at+1:]...)
		}
	}
	if r.stopped() {
		return nil
	}
	return errors.Join(r.forget(), r.sweep())
}

// consider removes the segment where it may go, and says how many bytes are free.
func (r *retainer) consider(h *oldest, over bool) (int64, error) {
	l := h.label
	path := filepath.Join(h.dir, fileName(l.Segment))
	tiers, known := r.proven[path]
	if !known {
		tiers = l.tiers
	}
	age := r.now().Sub(l.Latest)
	if _, due := r.policy.due(age, tiers, over); !due || !r.free(h) {
		return 0, nil
	}
	lock, err := r.lockStream(h)
	if err != nil || lock == nil && !r.mineStream(h.dir) {
		return 0, err
	}
	defer lock.Close() //nolint:errcheck // nil for this process's own
	seen, err := r.proveLabel(h)
	if err != nil {
		return 0, err
	}
	// What the index says was read again: whoever can write files is not to make the
	// proxy itself remove, and sign for, what is to be kept.
	r.proven[path] = seen.tiers | l.tiers
	why, due := r.policy.due(r.now().Sub(seen.Latest), seen.tiers|l.tiers, over)
	if !due {
		return 0, nil
	}
	return r.remove(h, seen, why)
}

// free says whether no sink and no hold needs the segment, and the stream goes on
// behind it where it is still written.
func (r *retainer) free(h *oldest) bool {
	if h.ended = r.endedStream(h); !h.ended && len(h.numbers) < 3 {
		return false
	}
	taken, err := r.upkeep.Taken(filepath.Base(h.dir))
	if err == nil && taken < h.label.Last {
		return false
	}
	var holds []Hold
	if err == nil {
		holds, err = Holds(r.path)
	}
	if err != nil {
		r.observer.ArchiveFailed(r.path, fmt.Errorf("nothing is removed: %w", err))
		return false
	}
	for i := range holds {
		if holds[i].covers(h.label.Earliest, h.label.Latest) {
			return false
		}
	}
	return true
}
