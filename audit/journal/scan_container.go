package journal

import "sort"

// cutFrame takes the next frame of a container. It says whether there is another
// behind it that has records.
func (s *segmentScan) cutFrame(c *chunk, packed *container) (more bool) {
	if s.frame == 0 {
		s.frame = sort.Search(len(packed.frames), func(i int) bool { return packed.frames[i].end() > s.off })
	}
	last := len(packed.frames) - 1 // the seal
	if s.frame >= last {
		return false
	}
	c.frame, c.off = &packed.frames[s.frame], s.off
	if s.ix != nil {
		c.span = &s.ix.Frames[s.frame]
		c.passed = s.off == c.frame.at && !s.awaits.Load() && (c.span.Count == 0 || !s.wanted(c.span))
	}
	s.off = c.frame.end()
	s.frame++
	return s.frame < last
}

// unpack unpacks a chunk's frame. Only the caller uses the chunk meanwhile.
func (s *segmentScan) unpack(c *chunk) (err error) {
	packed, ok := s.file.(*container)
	if !ok {
		return nil // not reached: only a container has frames
	}
	c.buf, c.packed, err = packed.unpack(c.frame, c.buf, c.packed)
	if err == nil {
		c.data = c.buf[c.off-c.frame.at:]
	}
	return err
}
