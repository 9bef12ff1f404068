package journal

import (
	"crypto/rand"
	"encoding/binary"
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
	streams int // finished ones that were looked at
	live    int // written by another process at this moment
	notes   []string
	torn    uint64

	lastSeal uint32 // of the stream that is looked at

	ends   []head            // of the streams with a chain
	listed map[[16]byte]bool // those that another one tells of
	heads  []head            // the rest
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

// recoverStreams looks at every stream whose writer has gone.
func recoverStreams(path string, d disk) (*findings, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, diskError(err)
	}
	f := &findings{disk: d, listed: map[[16]byte]bool{}}
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

func (f *findings) recoverStream(dir string) error {
	f.lastSeal = 0
	numbers, err := segmentNumbers(dir)
	if err != nil {
		return err
	}
	if err := checkNumbers(dir, numbers); err != nil {
		return err
	}
	empty, err := f.unbegun(dir, numbers)
	if err != nil {
		return err
	}
	if empty != "" {
		numbers = numbers[:len(numbers)-1]
	}
	if err := f.recoverSegments(dir, numbers, empty != ""); err != nil {
		return err
	}
	if err := removeDrafts(dir); err != nil {
		return err
	}
	if empty != "" && f.lastSeal == sealNext {
		// Its file proves that nothing is missing behind that seal.
		return os.Truncate(empty, headerSize)
	}
	if empty != "" {
		if err := os.Remove(empty); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		_ = os.Remove(dir) // it stays where something was set aside
	}
	return nil
}

func (f *findings) recoverSegments(dir string, numbers []uint64, empty bool) error {
	s := streamReader{dir: dir, name: filepath.Base(dir)}
	defer s.close()
	for i, number := range numbers {
		seg, err := openSegment(filepath.Join(dir, fileName(number)))
		if err != nil {
			return err
		}
		s.close()
		if err := s.use(seg, number); err != nil {
			return err
		}
		if err := f.recoverSegment(&s, i == len(numbers)-1, empty); err != nil {
			return err
		}
	}
	return nil
}

// unbegun returns the path of a last segment that holds nothing, and may be
// deleted.
func (f *findings) unbegun(dir string, numbers []uint64) (string, error) {
	if len(numbers) == 0 {
		return "", nil
	}
	path := filepath.Join(dir, fileName(numbers[len(numbers)-1]))
	seg, err := openSegment(path)
	if err != nil {
		return "", err
	}
	defer seg.close()
	if seg.head.begun {
		return "", nil
	}
	last, err := seg.lastByte(headerSize)
	if err != nil || last < 0 {
		return path, err
	}
	// The machine went down before the header reached the disk.
	if !f.anotherBoot(seg.head.boot) {
		return "", seg.corrupt(offState, "records in a segment that has not begun")
	}
	f.note("%s had not begun and was set aside", path)
	return path, f.setAside(seg, 0, last+1)
}

func (f *findings) note(format string, args ...any) {
	f.torn++
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// recoverSegment proves that a segment is complete, and completes it where it is
// the last one. empty says that a segment stands behind the last that has not
// begun.
func (f *findings) recoverSegment(s *streamReader, last, empty bool) error {
	seg := s.cur
	done, err := seg.sealAtEnd()
	if err != nil {
		return err
	}
	for !done {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if hole != nil {
			return f.repair(s, hole, last)
		}
		var r Record
		if err := r.decode(raw.body); err != nil {
			return seg.corrupt(raw.offset, err.Error())
		}
	}
	s.last, s.known = seg.seal.last, true
	f.lastSeal = seg.seal.why
	switch {
	case !last && seg.seal.why != 1:
		return seg.corrupt(seg.off, "the stream was closed, and another segment follows")
	case last && seg.seal.why == 1 && !empty:
		return &CorruptionError{
			File:   filepath.Join(s.dir, fileName(seg.head.number+1)),
			Reason: "the segment is missing",
		}
	}
	return nil
}

// sealAtEnd reads the seal of a segment that was cut behind it. The records
// before it are not read.
func (s *segmentReader) sealAtEnd() (bool, error) {
	info, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	off := info.Size() - 96
	if off < 4096 || off%8 != 0 {
		return false, nil
	}
	r, hole, err := s.recordAt(off, true)
	if err != nil || hole != nil || r.number != 65535 || len(r.body) != 56 {
		return false, err
	}
	s.records = binary.LittleEndian.Uint64(r.body[8:])
	s.off = info.Size()
	if r.sequence+1 != s.head.first+s.records {
		return false, s.corrupt(off, "the seal does not fit the segment")
	}
	err = s.sealed(&r)
	return s.seal != nil, ignoreEOF(err)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// repair sets a torn tail aside and seals the segment before it.
func (f *findings) repair(s *streamReader, hole *gap, last bool) error {
	seg := s.cur
	end, behind, err := seg.tail()
	if err != nil {
		return err
	}
	short, err := seg.short()
	if err != nil {
		return err
	}
	switch {
	case hole.hard, short, seg.off < seg.head.mark:
		return seg.corrupt(seg.off, hole.reason)
	case !last:
		return seg.corrupt(seg.off, hole.reason+", and another segment follows")
	case behind >= 0 && !f.anotherBoot(seg.head.boot):
		return seg.corrupt(seg.off, fmt.Sprintf("%s, and a record is behind it at byte %d", hole.reason, behind))
	}
	size := max(0, end+1-seg.off)
	if size > 0 {
		if err := f.setAside(seg, seg.off, size); err != nil {
			return err
		}
		f.note("%s: %d bytes behind record %d set aside to %s.torn", seg.path, size, seg.next-1, filepath.Base(seg.path))
		if behind >= 0 {
			f.notes = append(f.notes, "records stand among them")
		}
	}
	f.lastSeal = sealRecover
	var chain [32]byte
	if seg.head.version > 1 {
		numbers, err := segmentNumbers(s.dir)
		if err != nil {
			return err
		}
		if chain, err = chainAtEnd(s.dir, numbers); err != nil {
			return err
		}
	}
	return f.writeSeal(seg, size, chain)
}

// setAside copies a part of a segment to a file of its own.
func (f *findings) setAside(seg *segmentReader, off, size int64) error {
	name := seg.path + ".torn"
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	for i := 2; errors.Is(err, os.ErrExist); i++ {
		// From a recovery that was cut short: it may hold more than is left here.
		to, err = os.OpenFile(fmt.Sprintf("%s.%d", name, i), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(seg.file, off, size))
	err = errors.Join(err, f.disk.sync(to), to.Close())
	if err != nil {
		return fmt.Errorf("%s: set the torn tail aside: %w", seg.path, err)
	}
	return f.disk.syncDir(filepath.Dir(seg.path))
}

// writeSeal seals a segment where its records end, over size bytes of a torn
// tail, and cuts it there. It may be cut short at any point and done again.
func (f *findings) writeSeal(seg *segmentReader, size int64, chain [32]byte) error {
	file, err := os.OpenFile(seg.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = zero(file, seg.off, size)
	if err == nil {
		err = f.disk.sync(file)
	}
	if err == nil {
		r := make([]byte, sealSize)
		fillSeal(r, seg.head.seed, sealRecover, seg.next-1, seg.records, uint64(size), chain)
		binary.LittleEndian.PutUint32(r, sealSize)
		_, err = file.WriteAt(r, seg.off)
	}
	if err == nil {
		err = f.disk.sync(file)
	}
	if err == nil {
		err = file.Truncate(seg.off + sealSize)
	}
	return errors.Join(err, f.disk.sync(file), file.Close())
}

func zero(file *os.File, off, size int64) error {
	zeros := make([]byte, 1<<20)
	for end := off + size; off < end; {
		n, err := file.WriteAt(zeros[:min(int64(len(zeros)), end-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// removeDrafts deletes what was being made.
func removeDrafts(dir string) error {
	drafts, err := filepath.Glob(filepath.Join(dir, "*.seg.tmp"))
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
	j.id.dir = filepath.Join(o.Path, name)
	draft := j.id.dir + ".tmp"
	if err := os.Mkdir(draft, 0o700); err != nil {
		return diskError(err)
	}
	lock, err := lockDir(draft)
	if err == nil {
		err = os.Rename(draft, j.id.dir)
	}
	if err == nil {
		err = j.id.disk.syncDir(o.Path)
	}
	if err != nil {
		_ = os.Remove(draft)
		_ = lock.Close()
		return diskError(err)
	}
	j.lock = lock
	return nil
}

// safeName keeps what is harmless in the name of a directory.
func safeName(node string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, node)
}

// anotherBoot says whether the machine is known to have gone down since id.
func (f *findings) anotherBoot(id [16]byte) bool {
	now := f.disk.boot()
	return id != [16]byte{} && now != [16]byte{} && id != now
}
