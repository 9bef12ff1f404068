package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// archiveEvery is how often the streams of other processes are looked at: one
// that has ended since leaves its last segment to whoever is there.
const archiveEvery = time.Minute

type blindArchive struct{}

func (blindArchive) Archived(string, int64, int64) {}
func (blindArchive) ArchiveFailed(string, error)   {}

// archiver puts containers in the place of sealed segments, of all streams of a
// journal. One process of those that share a journal does so at a time.
type archiver struct {
	path     string
	disk     disk
	observer ArchiveObserver
	wake     chan struct{} // holds one
	stop     <-chan struct{}

	// Owned by run.
	lock    *os.File        // held while this process is the one
	checked map[string]bool // containers whose index was looked at
	step    func(what string) error
}

var errArchiveEnds = errors.New("the archiver ends")

func newArchiver(d disk, path string, observer ArchiveObserver, stop <-chan struct{}) *archiver {
	if observer == nil {
		observer = blindArchive{}
	}
	return &archiver{
		path: path, disk: d, observer: observer, wake: make(chan struct{}, 1), stop: stop,
		checked: map[string]bool{}, step: func(string) error { return nil },
	}
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
	return nil
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
	for _, e := range entries {
		if !e.IsDir() || streamName.FindString(e.Name()) == "" {
			continue
		}
		if err := a.stream(filepath.Join(a.path, e.Name())); errors.Is(err, errArchiveEnds) {
			return
		}
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
	var before *Label
	for _, number := range numbers {
		if before, err = a.segment(dir, number, before); err != nil {
			if !errors.Is(err, errArchiveEnds) {
				a.observer.ArchiveFailed(filepath.Join(dir, fileName(number)), err)
			}
			return err
		}
		if before == nil {
			return nil // it is still written
		}
	}
	return nil
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

func (a *archiver) label(dir string, number uint64) (*Label, error) {
	file, err := os.Open(filepath.Join(dir, indexName(number)))
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
		return [32]byte{}, fmt.Errorf("the index of segment %d, which tells where the chain goes on, is missing", number-1)
	}
	seg, err := openSegment(dir, number)
	if err != nil {
		return [32]byte{}, err
	}
	defer seg.close()
	return seg.head.start, nil
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

// archive puts a container in the place of a sealed segment. It returns no label
// where the segment has no seal yet, or holds nothing. Cut short at any point, it
// leaves the segment or its container, and can be done again.
func (a *archiver) archive(dir string, number uint64, start [32]byte) (*Label, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	if sealed, err := isSealed(dir, number); err != nil || !sealed {
		return nil, err
	}
	packed := seg.path + packedSuffix
	index := filepath.Join(dir, indexName(number))
	if err := a.pack(seg, packed+".tmp"); err != nil {
		return nil, errors.Join(err, removeIfThere(packed+".tmp"))
	}
	content, label, err := a.prove(seg, packed+".tmp", start)
	if err == nil {
		err = a.writeFile(index+".tmp", content)
	}
	if err != nil {
		return nil, errors.Join(err, removeIfThere(packed+".tmp"), removeIfThere(index+".tmp"))
	}
	if err := a.swap(dir, seg.path, packed, index); err != nil {
		return nil, err
	}
	a.observer.Archived(seg.path, label.Size, label.Stored+int64(len(content)))
	return label, nil
}

// isSealed says whether a segment has ended and was cut behind its seal.
func isSealed(dir string, number uint64) (bool, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return false, err
	}
	defer seg.close()
	if !seg.head.begun {
		return false, nil
	}
	return seg.sealAtEnd()
}

// swap gives the files their names, and only then removes the plain segment.
func (a *archiver) swap(dir, plain, packed, index string) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"name the index", func() error { return os.Rename(index+".tmp", index) }},
		{"name the container", func() error { return os.Rename(packed+".tmp", packed) }},
		{"sync the names", func() error { return a.disk.syncDir(dir) }},
		{"remove the plain segment", func() error { return os.Remove(plain) }},
		{"sync the removal", func() error { return a.disk.syncDir(dir) }},
	}
	for _, s := range steps {
		if err := a.step(s.what); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// pack writes the container's file, and syncs it.
func (a *archiver) pack(seg *segmentReader, path string) (err error) {
	if err := removeIfThere(path); err != nil {
		return err
	}
	if err := a.step("create the container"); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := newContainerWriter(file)
	if err != nil {
		return err
	}
	if err := errors.Join(a.fill(w, seg), w.close()); err != nil {
		return err
	}
	if err := a.step("sync the container"); err != nil {
		return err
	}
	return a.disk.sync(file)
}

// fill puts the segment's bytes in: its header, its records, its seal.
func (a *archiver) fill(w *containerWriter, seg *segmentReader) error {
	head := make([]byte, headerSize)
	if _, err := seg.file.ReadAt(head, 0); err != nil {
		return err
	}
	if err := errors.Join(w.add(head), w.cut()); err != nil {
		return err
	}
	for {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			return errors.Join(w.cut(), w.add(seg.seal.whole[:]))
		}
		if err == nil && hole != nil {
			err = seg.corrupt(seg.off, hole.reason)
		}
		if err == nil {
			err = w.add(raw.whole)
		}
		if err == nil && a.stopped() {
			err = errArchiveEnds
		}
		if err != nil {
			return err
		}
	}
}

func (a *archiver) stopped() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// prove reads the container back: it must restore the very segment. It returns
// its index.
func (a *archiver) prove(plain *segmentReader, path string, start [32]byte) ([]byte, *Label, error) {
	c, err := openContainer(path)
	if err != nil {
		return nil, nil, err
	}
	seg, err := newSegmentReader(c, path)
	if err != nil {
		return nil, nil, err
	}
	defer seg.close()
	if err := a.same(plain.file, c); err != nil {
		return nil, nil, err
	}
	return a.makeIndex(seg, start)
}

// makeIndex reads a container whole, and makes its index.
func (a *archiver) makeIndex(seg *segmentReader, before [32]byte) (index []byte, label *Label, err error) {
	c := seg.file.(*container)
	x := newIndexer(seg, c, before)
	chain := chainReader{value: before}
	chain.link(seg.head.chained[:])
	for {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && hole != nil {
			err = seg.corrupt(seg.off, hole.reason)
		}
		if err != nil {
			return nil, nil, err
		}
		if a.stopped() {
			return nil, nil, errArchiveEnds
		}
		chain.link(raw.whole)
		x.add(&raw)
	}
	if seg.seal.why == 1 {
		chain.link(seg.seal.whole[:])
	}
	file, err := os.Open(c.path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	return x.finish(seg.seal, chain.value, file)
}

// same compares two forms of a segment, byte by byte.
func (a *archiver) same(plain segmentFile, c *container) error {
	size, err := plain.size()
	if err != nil {
		return err
	}
	want, have := make([]byte, maxFrame), make([]byte, maxFrame)
	for _, f := range c.frames {
		if a.stopped() {
			return errArchiveEnds
		}
		n, err := plain.ReadAt(want[:f.size], f.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := c.ReadAt(have[:f.size], f.at); err != nil {
			return err
		}
		if !bytes.Equal(want[:n], have[:f.size]) {
			return fmt.Errorf("%s does not hold the segment's bytes from %d on", c.path, f.at)
		}
	}
	if packed, _ := c.size(); packed != size {
		return fmt.Errorf("%s holds %d bytes, the segment has %d", c.path, packed, size)
	}
	return nil
}

func (a *archiver) writeFile(path string, content []byte) (err error) {
	if err := removeIfThere(path); err != nil {
		return err
	}
	if err := a.step("create the index"); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = a.step("sync the index")
	}
	if err == nil {
		err = a.disk.sync(file)
	}
	return errors.Join(err, file.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
