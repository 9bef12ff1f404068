package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

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
	if err := errors.Join(w.add(head, 0), w.cut()); err != nil {
		return err
	}
	for {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) {
			return errors.Join(w.cut(), w.add(seg.seal.whole[:], seg.off))
		}
		if err == nil && hole != nil {
			err = seg.corrupt(seg.off, hole.reason)
		}
		if err == nil {
			err = w.add(raw.whole, raw.offset)
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
	x.tier = a.tierOf()
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
