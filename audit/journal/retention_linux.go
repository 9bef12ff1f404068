package journal

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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

// oldest is the oldest segment that is left of a stream.
type oldest struct {
	dir     string
	numbers []uint64
	ended   bool // nobody writes the stream
	label   *Label
	lock    *Lock // of an encrypted one; nil: it is in clear
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

// heads are the oldest segments of all streams, where they are containers.
func (r *retainer) heads() (all []*oldest, err error) {
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || streamName.FindString(e.Name()) == "" {
			continue
		}
		h := &oldest{dir: filepath.Join(r.path, e.Name())}
		if h.numbers, err = segmentNumbers(h.dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := r.finishRemoval(h); err != nil {
			r.observer.ArchiveFailed(h.dir, err)
			continue
		}
		if r.look(h) {
			all = append(all, h)
		}
	}
	return all, nil
}

// next goes on to the segment behind; false where there is none to look at.
func (r *retainer) next(h *oldest) bool {
	h.numbers = h.numbers[1:]
	return r.look(h)
}

// look reads the label of the stream's oldest segment.
func (r *retainer) look(h *oldest) bool {
	if len(h.numbers) == 0 || plainExists(h.dir, h.numbers[0]) {
		return false
	}
	seg, err := openSegment(h.dir, h.numbers[0])
	if err != nil {
		return false // archiving meets it too
	}
	defer seg.close()
	if h.lock = seg.lock; h.lock != nil {
		h.label = &h.lock.Label
		return true
	}
	x, err := readIndex(h.dir, h.numbers[0])
	if err != nil {
		return false // archiving mends it
	}
	h.label = &x.Label
	return true
}

func plainExists(dir string, number uint64) bool {
	return exists(filepath.Join(dir, fileName(number)))
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

func (r *retainer) mineStream(dir string) bool { return filepath.Base(dir) == r.own }

// endedStream says whether nobody writes the stream, and nobody has to recover it.
func (r *retainer) endedStream(h *oldest) bool {
	if r.mineStream(h.dir) {
		return false
	}
	lock, err := lockDir(h.dir)
	if err != nil {
		return false
	}
	defer lock.Close() //nolint:errcheck // it was only asked for
	last := h.numbers[len(h.numbers)-1]
	if !plainExists(h.dir, last) {
		return true
	}
	seg, err := openSegment(h.dir, last)
	if err != nil {
		return false
	}
	defer seg.close()
	if !seg.head.begun {
		return true // recovery left the header alone
	}
	sealed, err := seg.sealAtEnd()
	return err == nil && sealed
}

// lockStream keeps others from recovering a stream meanwhile. Of one that somebody
// writes there is no lock; nil then.
func (r *retainer) lockStream(h *oldest) (*os.File, error) {
	if r.mineStream(h.dir) {
		return nil, nil
	}
	lock, err := lockDir(h.dir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return lock, err
}

// proveLabel reads a segment whole, and makes its label anew.
func (r *retainer) proveLabel(h *oldest) (*Label, error) {
	l := h.label
	seg, err := openSegment(h.dir, l.Segment)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	before, err := r.chainAt(h.dir, l.Segment, seg)
	if err != nil {
		return nil, err
	}
	if seg.lock != nil {
		return r.believeLock(seg, before)
	}
	_, seen, err := r.makeIndex(seg, before)
	if err != nil {
		return nil, err
	}
	return seen, l.tells(seen)
}

// chainAt is the chain's value before the oldest segment of a stream.
func (r *retainer) chainAt(dir string, number uint64, seg *segmentReader) ([32]byte, error) {
	if number == 1 {
		return seg.head.start, nil
	}
	t, err := readTombstone(r.path, filepath.Base(dir))
	if err == nil && (t == nil || t.Segment+1 != number) {
		err = fmt.Errorf("segment %d of the stream is missing, and no tombstone tells of it", number-1)
	}
	if err != nil {
		return [32]byte{}, err
	}
	return t.Behind, nil
}

// remove takes a segment away, behind a record and a tombstone that say so. Cut
// short at any point, it can be done again.
func (r *retainer) remove(h *oldest, l *Label, why RemovedWhy) (int64, error) {
	stream := filepath.Base(h.dir)
	t, err := r.tombstone(h, l, why)
	if err != nil {
		return 0, err
	}
	if err := r.step("record the removal"); err != nil {
		return 0, err
	}
	detail := fmt.Sprintf("segment %d of stream %s, records %d to %d, the last of %s", l.Segment, stream, l.First, l.Last, l.Latest.Format(time.RFC3339))
	if err := r.record(&audit.Event{Type: audit.Removed, Cause: why.String(), Detail: detail, Count: l.Last + 1 - l.First}); err != nil {
		return 0, fmt.Errorf("a removal that cannot be recorded does not take place: %w", err)
	}
	if err := r.writeTombstone(t); err != nil {
		return 0, fmt.Errorf("the tombstone of segment %d: %w", l.Segment, err)
	}
	freed, err := r.unlink(h.dir, l.Segment, t.Whole)
	if err != nil {
		return 0, err
	}
	delete(r.proven, filepath.Join(h.dir, fileName(l.Segment)))
	delete(r.checked, filepath.Join(h.dir, fileName(l.Segment)))
	delete(r.locked, filepath.Join(h.dir, lockedName(l.Segment)))
	r.observer.Removed(filepath.Join(h.dir, fileName(l.Segment)), freed)
	return freed, nil
}

// tombstone says that a segment goes, and all before it.
func (r *retainer) tombstone(h *oldest, l *Label, why RemovedWhy) (*Tombstone, error) {
	stream := filepath.Base(h.dir)
	last, err := readTombstone(r.path, stream)
	if err != nil {
		return nil, err
	}
	t := &Tombstone{
		Name: stream, Stream: l.Stream, Why: why, Segment: l.Segment, First: l.First, Last: l.Last, Before: l.Before, Behind: l.Behind,
		Latest: l.Latest, At: r.now(),
	}
	t.Whole = h.ended && r.nothingBehind(h, l)
	earlier, err := h.earlier()
	if err != nil {
		return nil, err
	}
	if last != nil {
		earlier = append(last.Earlier, earlier...)
	}
	// What these streams came to has to be told for as long as they are there.
	there, err := filepath.Glob(filepath.Join(r.path, "*-*-*"))
	if err != nil {
		return nil, err
	}
	for _, e := range earlier {
		id := "-" + hex.EncodeToString(e.Stream[:8])
		if slices.ContainsFunc(there, func(dir string) bool { return strings.HasSuffix(dir, id) }) && len(t.Earlier) < maxHeadsListed {
			t.Earlier = append(t.Earlier, e)
		}
	}
	return t, nil
}

// nothingBehind says whether only segments without records follow.
func (r *retainer) nothingBehind(h *oldest, l *Label) bool {
	for _, number := range h.numbers[1:] {
		seg, err := openSegment(h.dir, number)
		if err != nil {
			return false
		}
		begun := seg.head.begun
		seg.close()
		if begun {
			return false
		}
	}
	return len(h.numbers) == 1 || l.Why == sealNext
}

// unlink removes a segment's files; with whole the stream's directory too.
func (r *retainer) unlink(dir string, number uint64, whole bool) (freed int64, err error) {
	if err := r.step("remove the segment"); err != nil {
		return 0, err
	}
	name := fileName(number)
	files, err := filepath.Glob(filepath.Join(dir, name+".torn*"))
	if err != nil {
		return 0, err
	}
	if whole {
		if files, err = filepath.Glob(filepath.Join(dir, "*")); err != nil {
			return 0, err
		}
	}
	// The container goes last: while it is there, its index is made anew.
	containers := []string{filepath.Join(dir, name+packedSuffix), filepath.Join(dir, lockedName(number))}
	files = slices.DeleteFunc(files, func(file string) bool { return slices.Contains(containers, file) || beside(file) })
	for _, file := range append(append(files, filepath.Join(dir, indexName(number))), containers...) {
		if info, err := os.Lstat(file); err == nil {
			freed += info.Size()
		}
		if err := removeIfThere(file); err != nil {
			return 0, err
		}
		if err := r.step("remove the next file"); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(r.disk.syncDir(dir), removeBeside(dir, number)); err != nil {
		return 0, err
	}
	if whole {
		err = errors.Join(removeIfThere(dir), r.disk.syncDir(r.path))
	}
	return freed, err
}

// finishRemoval removes what a tombstone says is gone: a removal was cut short.
func (r *retainer) finishRemoval(h *oldest) error {
	t, err := readTombstone(r.path, filepath.Base(h.dir))
	if err != nil || t == nil {
		return err
	}
	switch {
	case t.Whole && (len(h.numbers) == 0 || h.numbers[0] == t.Segment || h.numbers[0] > t.Segment):
	case len(h.numbers) > 0 && h.numbers[0] == t.Segment:
	default:
		return nil
	}
	lock, err := r.lockStream(h)
	if err != nil || lock == nil && !r.mineStream(h.dir) {
		return err
	}
	defer lock.Close() //nolint:errcheck // nil for this process's own
	if err := r.ownTombstone(t); err != nil {
		return err
	}
	if _, err = r.unlink(h.dir, t.Segment, t.Whole); err != nil {
		return err
	}
	if h.numbers, err = segmentNumbers(h.dir); errors.Is(err, fs.ErrNotExist) {
		h.numbers, err = nil, nil
	}
	return err
}

// ownTombstone says whether the tombstone is this node's: nobody who can write files
// is to make it remove what it did not mean to.
func (r *retainer) ownTombstone(t *Tombstone) error {
	if r.signer == nil {
		return nil
	}
	public, ok := r.signer.Public().(ed25519.PublicKey)
	if !ok || !t.signedBy(map[string]ed25519.PublicKey{keyID(public): public}) {
		return fmt.Errorf("%s is not signed by journal.signing_key: what it says is removed stays", tombstonePath(r.path, t.Name))
	}
	return nil
}

// forgetAfter is how long a tombstone is kept that nobody asks for: a stream that
// just begins may name what it read before.
const forgetAfter = 24 * time.Hour

// forget removes the tombstones of streams that nobody speaks of any more.
func (r *retainer) forget() error {
	tombs, err := readTombstones(r.path, r.observer.ArchiveFailed)
	if err != nil || len(tombs) == 0 {
		return err
	}
	named, whole, err := r.namedStreams(tombs)
	if err != nil || !whole {
		return err
	}
	for _, t := range tombs {
		if !t.Whole || r.now().Sub(t.At) < forgetAfter || named[t.Stream] || dirExists(filepath.Join(r.path, t.Name)) {
			continue
		}
		if err := r.step("forget a tombstone"); err != nil {
			return err
		}
		if err := os.Remove(tombstonePath(r.path, t.Name)); err != nil {
			return err
		}
	}
	return nil
}

// namedStreams are those that a stream which is there says it follows. It says
// false where not all of them could be read.
func (r *retainer) namedStreams(tombs []*Tombstone) (named map[[16]byte]bool, whole bool, err error) {
	named = map[[16]byte]bool{}
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		if !e.IsDir() || streamName.FindString(e.Name()) == "" {
			continue
		}
		_, earlier, err := firstRecord(filepath.Join(r.path, e.Name()))
		if err != nil {
			return nil, false, nil
		}
		for _, of := range earlier {
			named[of.Stream] = true
		}
	}
	for _, t := range tombs {
		for _, of := range t.Earlier {
			named[of.Stream] = true
		}
	}
	return named, true, nil
}

func dirExists(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
