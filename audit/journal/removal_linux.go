package journal

import (
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

	"github.com/pgcustos/pgcustos/audit"
)

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
	if t.Whole {
		delete(r.settled, h.dir)
	}
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
