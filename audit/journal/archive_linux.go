package journal

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// archiveEvery is how often the streams of other processes are looked at: one
// that has ended since leaves its last segment to whoever is there.
const archiveEvery = time.Minute

type blindArchive struct{}

func (blindArchive) Archived(string, int64, int64) {}
func (blindArchive) ArchiveFailed(string, error)   {}
func (blindArchive) Removed(string, int64)         {}
func (blindArchive) Encrypted(string)              {}
func (blindArchive) Waiting(int, time.Time)        {}

// archiver puts containers in the place of sealed segments, of all streams of a
// journal. One process of those that share a journal does so at a time.
type archiver struct {
	path     string
	disk     disk
	observer ArchiveObserver
	signer   crypto.Signer // nil: nothing is signed
	upkeep   Upkeep        // nil: no backend's tier is known, and nothing is encrypted
	wake     chan struct{} // holds one
	stop     <-chan struct{}

	// Owned by run.
	lock    *os.File          // held while this process is the one
	checked map[string]bool   // containers whose index was looked at
	settled map[string]*Label // of a stream: the segment up to which nothing is left to be done
	locked  map[string]*Label
	seal    encryptor
	pace    pace
	retain  func() error // removes what is not kept; nil: nothing is
	look    time.Time    // when it is called next
	step    func(what string) error
}

var errArchiveEnds = errors.New("the archiver ends")

func newArchiver(d disk, path string, observer ArchiveObserver, stop <-chan struct{}) *archiver {
	if observer == nil {
		observer = blindArchive{}
	}
	return &archiver{
		path: path, disk: d, observer: observer, wake: make(chan struct{}, 1), stop: stop,
		checked: map[string]bool{}, settled: map[string]*Label{}, locked: map[string]*Label{}, seal: encryptor{blobs: map[[32]byte][32]byte{}}, step: func(string) error { return nil },
	}
}

// unhurried has the archiver rest between its pieces, until another segment waits.
func (a *archiver) unhurried() {
	a.pace = pace{rests: restsFor, hurry: func() bool { return len(a.wake) > 0 }}
}

func (a *archiver) kick() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run is the goroutine that archives.
func (a *archiver) run() {
	defer func() {
		if a.lock != nil {
			_ = a.lock.Close()
		}
	}()
	tick := time.NewTicker(archiveEvery)
	defer tick.Stop()
	for {
		if err := a.guarded(); err != nil {
			a.observer.ArchiveFailed(a.path, err)
		}
		select {
		case <-a.stop:
			return
		case <-a.wake:
		case <-tick.C:
		}
	}
}

// guarded is a pass whose faults end no session.
func (a *archiver) guarded() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a fault of the archiver: %v\n%s", p, debug.Stack())
		}
	}()
	a.pass()
	if a.retain == nil || a.lock == nil || a.stopped() || time.Now().Before(a.look) {
		return nil
	}
	a.look = time.Now().Add(retainEvery)
	return a.retain()
}

// pass archives what there is.
func (a *archiver) pass() {
	if !a.mine() {
		return
	}
	entries, err := os.ReadDir(a.path)
	if err != nil {
		a.observer.ArchiveFailed(a.path, err)
		return
	}
	a.seal.begin()
	for _, e := range entries {
		if !e.IsDir() || streamName.FindString(e.Name()) == "" {
			continue
		}
		if err := a.stream(filepath.Join(a.path, e.Name())); errors.Is(err, errArchiveEnds) {
			return
		}
	}
	if a.seal.to.Any() {
		a.observer.Waiting(a.seal.waiting, a.seal.since)
	}
}

// mine says whether this process is the one that archives.
func (a *archiver) mine() bool {
	if a.lock != nil {
		return true
	}
	path := filepath.Join(a.path, "archive.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		a.observer.ArchiveFailed(path, err)
		return false
	}
	err = ignoreInterrupt(func() error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		_ = file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			a.observer.ArchiveFailed(path, err)
		}
		return false
	}
	a.lock = file
	return true
}

// stream archives a stream's sealed segments, in their order: each label tells
// where the next one's chain begins.
func (a *archiver) stream(dir string) error {
	numbers, err := segmentNumbers(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		a.observer.ArchiveFailed(dir, err)
		return err
	}
	before, settled := a.settled[dir], true
	if before != nil {
		at, _ := slices.BinarySearch(numbers, before.Segment+1)
		numbers = numbers[at:]
	}
	for _, number := range numbers {
		l, err := a.segment(dir, number, before)
		if l != nil && err == nil {
			err = a.encrypt(dir, l, before)
		}
		if err != nil && !errors.Is(err, errArchiveEnds) {
			a.observer.ArchiveFailed(filepath.Join(dir, fileName(number)), err)
		}
		if l == nil || errors.Is(err, errArchiveEnds) {
			return err // nil: it is still written
		}
		before = l
		if settled = settled && err == nil && a.isSettled(dir, number); settled {
			a.settle(dir, l)
		}
	}
	return nil
}

// isSettled says whether nothing is left to be done with a container.
func (a *archiver) isSettled(dir string, number uint64) bool {
	return !a.seal.to.Any() || !exists(filepath.Join(dir, fileName(number)+packedSuffix))
}

// settle has later passes begin behind the segment: a journal may keep very many.
func (a *archiver) settle(dir string, l *Label) {
	a.settled[dir] = l
	delete(a.checked, filepath.Join(dir, fileName(l.Segment)))
	delete(a.locked, filepath.Join(dir, lockedName(l.Segment)))
}

// segment sees to it that the segment is a container with an index, and returns
// its label; nil where it is still written. before is the label of the segment
// before it.
func (a *archiver) segment(dir string, number uint64, before *Label) (*Label, error) {
	path := filepath.Join(dir, fileName(number))
	_, err := os.Lstat(path)
	plain := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if l, err := a.lockedLabel(dir, number, plain); l != nil || err != nil {
		return l, err
	}
	if !plain && a.checked[path] {
		return a.label(dir, number)
	}
	if !plain {
		if x, err := readIndex(dir, number); err == nil {
			a.checked[path] = true
			return &x.Label, nil
		}
	}
	start, err := chainBefore(dir, number, before)
	if err != nil {
		return nil, err
	}
	if !plain {
		return a.mend(dir, number, start)
	}
	done, err := a.archive(dir, number, start)
	if done != nil && err == nil {
		a.checked[path] = true
	}
	return done, err
}

// lockedLabel returns the label of a segment that is encrypted, and in clear no more;
// nil where it is not.
func (a *archiver) lockedLabel(dir string, number uint64, plain bool) (*Label, error) {
	path := filepath.Join(dir, lockedName(number))
	if plain || !exists(path) || exists(filepath.Join(dir, fileName(number)+packedSuffix)) {
		return nil, nil
	}
	if l := a.locked[path]; l != nil {
		return l, nil
	}
	lock, err := readLock(dir, number)
	if err == nil {
		// A power that was lost may have brought it back.
		err = removeIfThere(filepath.Join(dir, indexName(number)))
	}
	if err != nil {
		return nil, err
	}
	a.locked[path] = &lock.Label
	return &lock.Label, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// mend makes the index of a container that has none.
func (a *archiver) mend(dir string, number uint64, start [32]byte) (*Label, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	index, label, err := a.makeIndex(seg, start)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, indexName(number))
	if err := a.writeFile(path+".tmp", index); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Rename(path+".tmp", path), a.disk.syncDir(dir)); err != nil {
		return nil, err
	}
	return label, nil
}

func (a *archiver) label(dir string, number uint64) (*Label, error) {
	file, err := openFile(filepath.Join(dir, indexName(number)))
	if errors.Is(err, fs.ErrNotExist) {
		delete(a.checked, filepath.Join(dir, fileName(number)))
		return a.segment(dir, number, nil)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := make([]byte, labelSize)
	if _, err := io.ReadFull(file, b); err != nil {
		return nil, err
	}
	return parseLabel(b)
}

// chainBefore is the chain's value before the header of a segment.
func chainBefore(dir string, number uint64, before *Label) ([32]byte, error) {
	switch {
	case before != nil && before.Segment+1 == number:
		return before.Behind, nil
	case number > 1:
		t, err := readTombstone(filepath.Dir(dir), filepath.Base(dir))
		switch {
		case err != nil:
			return [32]byte{}, err
		case t != nil && t.Segment+1 == number:
			return t.Behind, nil
		case t != nil && t.Segment == number:
			return t.Before, nil // it is about to be removed
		}
		return [32]byte{}, fmt.Errorf("the index of segment %d, which tells where the chain goes on, is missing", number-1)
	}
	seg, err := openSegment(dir, number)
	if err != nil {
		return [32]byte{}, err
	}
	defer seg.close()
	return seg.head.start, nil
}

// tierOf tells an index of which tiers the backends are that records name; nil
// where nobody knows.
func (a *archiver) tierOf() func(backend []byte) uint32 {
	if a.upkeep == nil {
		return nil
	}
	memo := map[string]uint32{}
	return func(backend []byte) uint32 {
		bits, met := memo[string(backend)]
		if met {
			return bits
		}
		bits = tierUnknown
		if tier, known := a.upkeep.Tier(string(backend)); known && tier >= 0 && tier < 4 {
			bits = 1 << tier
		}
		if len(memo) < maxFrameKeys {
			memo[string(backend)] = bits
		}
		return bits
	}
}
