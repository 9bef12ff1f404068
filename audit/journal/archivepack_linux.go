package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// pack writes the container's file, and syncs it. x takes in the records meanwhile.
func (a *archiver) pack(seg *segmentReader, path string, x *indexer) (end ending, err error) {
	if err := removeIfThere(path); err != nil {
		return end, err
	}
	if err := a.step("create the container"); err != nil {
		return end, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return end, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := newContainerWriter(file, &a.pace)
	if err != nil {
		return end, err
	}
	end, err = a.fill(w, seg, x)
	if err := errors.Join(err, w.close()); err != nil {
		return end, err
	}
	if err := a.step("sync the container"); err != nil {
		return end, err
	}
	return end, a.disk.sync(file)
}

// fill puts the segment's bytes in: its header, its records, its seal.
func (a *archiver) fill(w *containerWriter, seg *segmentReader, x *indexer) (end ending, err error) {
	head := make([]byte, headerSize)
	if _, err := seg.file.ReadAt(head, 0); err != nil {
		return end, err
	}
	_, err = w.add(head, 0)
	if err := errors.Join(err, w.cut()); err != nil {
		return end, err
	}
	end, err = a.each(seg, x, w.add)
	if err == nil {
		err = w.cut()
	}
	if err == nil {
		_, err = w.add(end.seal.whole[:], seg.off)
	}
	return end, err
}

// each reads a segment whole. x takes in its records, each with the number of the frame
// that frame says it begins in.
func (a *archiver) each(seg *segmentReader, x *indexer, frame func(record []byte, off int64) (int, error)) (ending, error) {
	chain := chainReader{value: x.label.Before}
	chain.link(seg.head.chained[:])
	for {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && hole != nil {
			err = seg.corrupt(seg.off, hole.reason)
		}
		number := 0
		if err == nil {
			number, err = frame(raw.whole, raw.offset)
		}
		if err == nil {
			err = a.went(len(raw.whole))
		}
		if err != nil {
			return ending{}, err
		}
		chain.link(raw.whole)
		x.add(&raw, number)
	}
	if seg.seal.why == 1 {
		chain.link(seg.seal.whole[:])
	}
	return ending{seal: seg.seal, behind: chain.value}, nil
}

// went says that the archiver is so many bytes further, and lets others go first.
func (a *archiver) went(bytes int) error {
	if a.stopped() {
		return errArchiveEnds
	}
	a.pace.did(bytes)
	return nil
}

func (a *archiver) stopped() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// prove reads the container back: each frame must restore the very bytes of the
// segment. It returns the index.
func (a *archiver) prove(plain segmentFile, path string, x *indexer, end ending) ([]byte, *Label, error) {
	c, err := openContainer(path)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close() //nolint:errcheck // nothing was written
	if err := a.same(plain, c); err != nil {
		return nil, nil, err
	}
	return x.finish(end, c.frames, &stoppable{c.whole(), a})
}

// same compares two forms of a segment, byte by byte.
func (a *archiver) same(plain segmentFile, c *container) error {
	have := make([]byte, maxFrame)
	for i := range c.frames {
		f := &c.frames[i]
		if err := c.load(i); err != nil {
			return err
		}
		n, err := plain.ReadAt(have[:f.size], f.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(have[:n], c.plain) {
			return fmt.Errorf("%s does not hold the segment's bytes from %d on", c.path, f.at)
		}
		if err := a.went(n); err != nil {
			return err
		}
	}
	size, err := plain.size()
	if err != nil {
		return err
	}
	if packed, _ := c.size(); packed != size {
		return fmt.Errorf("%s holds %d bytes, the segment has %d", c.path, packed, size)
	}
	return nil
}

// makeIndex reads a container whole, and makes its index.
func (a *archiver) makeIndex(seg *segmentReader, before [32]byte) (index []byte, label *Label, err error) {
	c := seg.file.(*container)
	x := a.indexer(seg, before)
	end, err := a.each(seg, x, func(_ []byte, off int64) (int, error) { return c.frameOf(off), nil })
	if err != nil {
		return nil, nil, err
	}
	return x.finish(end, c.frames, &stoppable{c.whole(), a})
}

// indexer starts the index of a segment. before is the chain's value before its header.
func (a *archiver) indexer(seg *segmentReader, before [32]byte) *indexer {
	x := newIndexer(seg.head, before)
	x.tier = a.tierOf()
	return x
}
