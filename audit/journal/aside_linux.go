package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func (f *findings) note(format string, args ...any) {
	f.torn++
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// unbegun ends a stream at a segment that has not begun. Unless it is the first,
// its file stays: it proves that nothing is missing behind the seal before it.
func (f *findings) unbegun(seg *segmentReader, first bool, rest []uint64) error {
	if f.leave {
		return ErrUnfinished
	}
	last, err := seg.lastByte(headerSize)
	if err != nil {
		return err
	}
	if last >= 0 && !f.anotherBoot(seg.head.boot) {
		return seg.corrupt(offState, "records in a segment that has not begun")
	}
	later, err := f.behind(seg, rest, "the segment has not begun")
	if err == nil {
		err = f.takeAway(later)
	}
	if err != nil {
		return err
	}
	if last >= 0 {
		// The machine went down before the header reached the disk.
		to, err := f.setAside(seg, 0, last+1)
		if err != nil {
			return err
		}
		f.note("%s had not begun, and was set aside to %s", seg.path, filepath.Base(to))
	}
	if first {
		return os.Remove(seg.path)
	}
	return f.cut(seg.path, headerSize)
}

// later is a segment behind the end of a stream.
type later struct {
	path  string
	empty bool
}

// behind looks at the segments behind the last that is whole. One that holds
// nothing stood ready. Others may have begun, and a part of them may have reached
// the disk, when the machine went down before the end of the earlier one had:
// while that was so, nobody was told of a record in them.
func (f *findings) behind(seg *segmentReader, rest []uint64, reason string) (all []later, err error) {
	for _, number := range rest {
		next, err := openSegment(filepath.Dir(seg.path), number)
		if err != nil {
			return nil, err
		}
		last, err := next.lastByte(headerSize)
		next.close()
		if err != nil {
			return nil, err
		}
		empty := !next.head.begun && last < 0
		if !empty && (!f.anotherBoot(seg.head.boot) || next.head.mark > 0 || next.head.stream != seg.head.stream) {
			return nil, seg.corrupt(seg.off, reason+", and another segment follows")
		}
		all = append(all, later{path: next.path, empty: empty})
	}
	return all, nil
}

// takeAway removes empty segments and sets others aside whole, one by one and the
// last one first, so that none is ever missing in between.
func (f *findings) takeAway(all []later) error {
	for i := len(all) - 1; i >= 0; i-- {
		path := all[i].path
		if all[i].empty {
			if err := os.Remove(path); err != nil {
				return err
			}
		} else {
			to := freeName(path + ".torn")
			if err := os.Rename(path, to); err != nil {
				return err
			}
			f.asides[to] = true
			f.note("%s was set aside to %s: what stands before it had not reached the disk", path, filepath.Base(to))
		}
		if err := f.disk.syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// repair sets a torn tail aside and seals the segment before it.
func (f *findings) repair(s *streamReader, hole *gap, rest []uint64) error {
	if f.leave {
		return ErrUnfinished
	}
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
	case behind >= 0 && !f.anotherBoot(seg.head.boot):
		return seg.corrupt(seg.off, fmt.Sprintf("%s, and a record is behind it at byte %d", hole.reason, behind))
	}
	later, err := f.behind(seg, rest, hole.reason)
	if err == nil {
		err = f.takeAway(later)
	}
	if err != nil {
		return err
	}
	size := max(0, end+1-seg.off)
	if size > 0 {
		to, err := f.setAside(seg, seg.off, size)
		if err != nil {
			return err
		}
		f.note("%s: %d bytes behind record %d set aside to %s", seg.path, size, seg.next-1, filepath.Base(to))
		if behind >= 0 {
			f.notes = append(f.notes, "records stand among them")
		}
	}
	numbers, err := segmentNumbers(s.dir)
	if err != nil {
		return err
	}
	chain, err := chainAtEnd(s.dir, numbers)
	if err != nil {
		return err
	}
	return f.writeSeal(seg, size, chain)
}

// setAside copies a part of a segment to a file of its own, and returns its path.
func (f *findings) setAside(seg *segmentReader, off, size int64) (string, error) {
	// A recovery that was cut short may have left one that holds more.
	name := freeName(seg.path + ".torn")
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, io.NewSectionReader(seg.file, off, size))
	err = errors.Join(err, f.disk.sync(to), to.Close())
	if err != nil {
		return "", fmt.Errorf("%s: set the torn tail aside: %w", seg.path, err)
	}
	f.asides[name] = true
	return name, f.disk.syncDir(filepath.Dir(seg.path))
}

// freeName returns name, or name.2 and so on, where nothing has it yet.
func freeName(name string) string {
	free := name
	for i := 2; ; i++ {
		if _, err := os.Lstat(free); errors.Is(err, os.ErrNotExist) {
			return free
		}
		free = fmt.Sprintf("%s.%d", name, i)
	}
}

// cut makes a file shorter, for good.
func (f *findings) cut(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), f.disk.sync(file), file.Close())
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
