package journal

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
)

// maxHeads bounds what the first record of a stream lists. What it leaves out,
// the next stream lists.
const maxHeads = maxHeadsListed

// lookForEnd notes where a finished stream ended, and which streams it follows.
func (f *findings) lookForEnd(dir string) error {
	numbers, err := segmentNumbers(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it held nothing, and is gone
	}
	if err == nil && len(numbers) == 0 {
		f.notes = append(f.notes, f.untold(dir)...)
		return nil
	}
	if err != nil {
		return err
	}
	f.lookForEarlier(dir)
	for i := len(numbers) - 1; i >= 0; i-- {
		seg, err := openSegment(dir, numbers[i])
		if err != nil {
			return err
		}
		h, err := seg.end(dir, numbers)
		seg.close()
		if h != nil {
			h.dir = dir
			f.ends = append(f.ends, *h)
		}
		if err != nil || seg.head.begun {
			return err
		}
	}
	return nil
}

// end returns where the stream ended whose last segment this is, nil where that
// one has not begun.
func (s *segmentReader) end(dir string, numbers []uint64) (*head, error) {
	if !s.head.begun {
		return nil, nil
	}
	done, err := s.sealAtEnd()
	if err != nil {
		return nil, err
	}
	for !done {
		_, hole, err := s.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && hole != nil {
			err = s.corrupt(s.off, hole.reason)
		}
		if err != nil {
			return nil, err
		}
	}
	h := &head{stream: s.head.stream, sequence: s.seal.last, chain: s.seal.chain}
	if s.seal.why == 1 {
		// Nothing was written behind it: only the records say.
		h.chain, err = chainAtEnd(dir, numbers)
	}
	return h, err
}

// lookForEarlier reads which streams a stream follows. One that cannot be read
// follows none: then they are listed once more.
func (f *findings) lookForEarlier(dir string) {
	_, earlier, err := firstRecord(dir)
	if err != nil {
		return
	}
	for _, e := range earlier {
		f.listed[e.Stream] = true
	}
}

func (f *findings) pickHeads() {
	for _, t := range f.tombs {
		for _, e := range t.Earlier {
			f.listed[e.Stream] = true
		}
	}
	for _, h := range f.ends {
		if !f.listed[h.stream] {
			again := f.untold(h.dir)
			f.torn += uint64(len(again))
			f.notes = append(f.notes, again...)
		}
		if !f.listed[h.stream] && len(f.heads) < maxHeads {
			f.heads = append(f.heads, h)
		}
	}
}

// untold lists what an earlier recovery set aside of a stream that no other one
// tells of: it may not have lived to tell.
func (f *findings) untold(dir string) (notes []string) {
	asides, _ := filepath.Glob(filepath.Join(dir, "*.seg.torn*")) // fails for a bad pattern only
	for _, path := range asides {
		if !f.asides[path] {
			notes = append(notes, path+" was set aside before")
		}
	}
	return notes
}
