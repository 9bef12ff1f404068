package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// proveIndex compares the index of the container that was read with what was read
// of it: a query passes over what an index says it may. An index that nobody would
// believe is only worth a note.
func (s *streamCheck) proveIndex(seg *segmentReader) {
	x := s.index
	s.index = nil
	if x == nil || s.finding != nil {
		return
	}
	path := filepath.Join(s.reader.dir, indexName(seg.head.number))
	have, err := seg.readIndexBytes()
	var said *Index
	if err == nil {
		said, err = parseIndex(have)
	}
	switch {
	case err != nil && seg.lock != nil:
		s.findAt(seg.head.number, 0, seg.head.first, "the encrypted index is missing or was changed: "+err.Error())
		return
	case errors.Is(err, fs.ErrNotExist):
		s.note("%s is missing: queries read the whole segment", path)
		return
	case err != nil:
		s.note("%s cannot be used, queries read the whole segment: %v", path, err)
		return
	}
	c, ok := seg.file.(*container)
	if !ok {
		return // not reached: only a container has an index
	}
	x.label.tiers = said.tiers // the configuration's word, which no record has
	want, _, err := x.finish(ending{seg.seal, s.chain.value}, c.frames, c.whole())
	switch {
	case err != nil:
		s.note("%s cannot be read once more: %v", seg.path, err)
	case !bytes.Equal(have, want):
		s.findAt(seg.head.number, 0, seg.head.first, "the segment's index does not tell what the segment holds: queries would pass records over")
	default:
		s.proveLock(seg, x)
	}
}

func (s *streamCheck) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}
