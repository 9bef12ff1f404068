package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// findings are what recovery met.
type findings struct {
	disk    disk
	leave   bool // nothing of them may be changed
	streams int  // finished ones that were looked at
	live    int  // written by another process at this moment
	notes   []string
	torn    uint64
	asides  map[string]bool // paths of what this recovery set aside

	ends   []head            // of the streams with a chain
	listed map[[16]byte]bool // those that another one tells of
	heads  []head            // the rest
	tombs  []*Tombstone      // of what retention removed
}

// event is the first record of the new stream.
func (f *findings) event() *audit.Event {
	// What is prepared is taken as it is.
	ev := &audit.Event{Type: audit.JournalOpened, Cause: "clean", Count: f.torn, Prepared: earlierFields(f.heads)}
	parts := []string{fmt.Sprintf("%d earlier streams, %d being written", f.streams, f.live)}
	if f.torn > 0 {
		ev.Cause = "recovered"
	}
	ev.Detail = strings.Join(append(parts, f.notes...), "; ")
	return ev
}

// recoverStreams looks at every stream whose writer has gone. With leave it changes
// nothing, and fails with ErrUnfinished where something would have to be changed.
func recoverStreams(path string, d disk, leave bool) (*findings, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, diskError(err)
	}
	f := &findings{disk: d, leave: leave, listed: map[[16]byte]bool{}, asides: map[string]bool{}}
	for _, e := range entries {
		if !e.IsDir() || streamName.FindString(e.Name()) == "" {
			continue
		}
		dir := filepath.Join(path, e.Name())
		lock, err := lockDir(dir)
		if errors.Is(err, unix.EWOULDBLOCK) {
			f.live++
			f.lookForEarlier(dir)
			continue
		}
		if err != nil {
			return nil, diskError(err)
		}
		err = f.recoverStream(dir)
		if err == nil {
			err = f.lookForEnd(dir)
		}
		_ = lock.Close()
		if err != nil {
			return nil, diskError(err)
		}
		f.streams++
	}
	// One that is damaged names nothing: what it named is listed once more.
	if f.tombs, err = readTombstones(path, func(string, error) {}); err != nil {
		return nil, diskError(err)
	}
	f.pickHeads()
	return f, nil
}

// lockDir locks a stream's directory, and fails with EWOULDBLOCK where another
// process holds it. Closing the file gives the lock back.
func lockDir(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = ignoreInterrupt(func() error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		_ = file.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return file, nil
}

// recoverStream proves that a finished stream is whole, and completes it where its
// process, or the machine, went down over it.
func (f *findings) recoverStream(dir string) error {
	numbers, err := segmentNumbers(dir)
	if err != nil {
		return err
	}
	if err := checkNumbers(dir, numbers); err != nil {
		return err
	}
	if err := f.recoverSegments(dir, numbers); err != nil {
		return err
	}
	if f.leave {
		return nil
	}
	if err := removeDrafts(dir); err != nil {
		return err
	}
	left, err := segmentNumbers(dir)
	if err == nil && len(left) == 0 {
		_ = os.Remove(dir) // it stays where something was set aside
	}
	return err
}

// recoverSegments reads the segments up to the one that is not followed by
// another, and settles what stands behind that.
func (f *findings) recoverSegments(dir string, numbers []uint64) error {
	s := streamReader{dir: dir, name: filepath.Base(dir)}
	defer s.close()
	for i, number := range numbers {
		seg, err := openSegment(dir, number)
		if err != nil {
			return err
		}
		s.close()
		if err := s.use(seg, number); err != nil {
			return err
		}
		if !seg.head.begun {
			return f.unbegun(seg, i == 0, numbers[i+1:])
		}
		more, err := f.recoverSegment(&s, numbers[i+1:])
		if err != nil || !more {
			return err
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	return &CorruptionError{
		File:   filepath.Join(dir, fileName(numbers[len(numbers)-1]+1)),
		Reason: "the segment is missing",
	}
}

// recoverSegment proves that a segment is complete, and completes it where it is
// not. more says that the next one must follow.
func (f *findings) recoverSegment(s *streamReader, rest []uint64) (more bool, err error) {
	seg := s.cur
	done, err := seg.sealAtEnd()
	if err != nil {
		return false, err
	}
	for !done {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
		if hole != nil {
			return false, f.repair(s, hole, rest)
		}
		var r Record
		if err := r.decode(raw.body); err != nil {
			return false, seg.corrupt(raw.offset, err.Error())
		}
	}
	s.last, s.known = seg.seal.last, true
	if _, plain := seg.file.(plainFile); plain && !done {
		// Its writer came no further; what is sealed and cut can be archived.
		if err := f.cut(seg.path, seg.off); err != nil {
			return false, err
		}
	}
	if seg.seal.why == sealNext {
		return true, nil
	}
	behind, err := f.behind(seg, rest, "the stream was closed")
	if err != nil {
		return false, err
	}
	for _, l := range behind {
		if !l.empty {
			return false, seg.corrupt(seg.off, "the stream was closed, and another segment follows")
		}
	}
	return false, f.takeAway(behind)
}

// removeDrafts deletes what was being made.
func removeDrafts(dir string) error {
	drafts, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	for _, path := range drafts {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// createStream makes this process's own directory. It has its lock before it has
// its name, so that nobody takes it for one that was left.
func (j *Journal) createStream(o *Options) error {
	_, _ = rand.Read(j.id.stream[:]) // never fails (crypto/rand)
	j.id.node = o.Node
	j.id.boot = j.id.disk.boot()
	name := fmt.Sprintf("%s-%d-%s", safeName(o.Node), time.Now().Unix(), hex.EncodeToString(j.id.stream[:8]))
	return j.occupy(filepath.Join(o.Path, name))
}

// occupy makes the stream's directory. One that another process writes, or that is left of
// one, is refused.
func (j *Journal) occupy(dir string) error {
	if err := notHeld(dir); err != nil {
		return err
	}
	j.id.dir = dir
	draft := dir + ".tmp"
	if err := os.Mkdir(draft, 0o700); err != nil {
		return diskError(err)
	}
	lock, err := lockDir(draft)
	if err == nil {
		err = os.Rename(draft, j.id.dir)
	}
	if err == nil {
		err = j.id.disk.syncDir(filepath.Dir(dir))
	}
	if err != nil {
		_ = os.Remove(draft)
		_ = lock.Close()
		return diskError(err)
	}
	j.lock = lock
	return nil
}

// anotherBoot says whether the machine is known to have gone down since id.
func (f *findings) anotherBoot(id [16]byte) bool {
	now := f.disk.boot()
	return id != [16]byte{} && now != [16]byte{} && id != now
}
