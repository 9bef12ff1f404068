package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// oldest is the oldest segment that is left of a stream.
type oldest struct {
	dir     string
	numbers []uint64
	ended   bool // nobody writes the stream
	label   *Label
	lock    *Lock // of an encrypted one; nil: it is in clear
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
