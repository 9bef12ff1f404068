package journal

import (
	"os"
	"path/filepath"
	"time"
)

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
