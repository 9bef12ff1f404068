package journal

import "errors"

// unread is source.quiet of a segment that nothing was read of record by record.
const unread = -1

// scanned returns the next record of the scan of s; nil where it is not wanted, or
// where the scan has ended: s.scan is nil then, and s goes on record by record.
func (r *Reader) scanned(s *source) (*Record, error) {
	sc, seg := s.scan, s.cur
	c := sc.chunk()
	if c == nil {
		s.endScan()
		return nil, nil
	}
	if c.off != seg.off || c.err != nil {
		s.endScan()
		return nil, nil
	}
	if c.passed && !r.pass(s, c) {
		return nil, nil
	}
	if c.passed {
		r.behind(s, c)
		return nil, nil
	}
	if c.count > 0 && c.first != seg.next {
		s.endScan() // reading the first of them says what is wrong
		return nil, nil
	}
	for sc.item < len(c.items) {
		i := &c.items[sc.item]
		sc.item++
		if i.record != nil {
			return i.record, nil
		}
		if record, err := r.confirm(s, i); record != nil || err != nil {
			return record, err
		}
	}
	r.behind(s, c)
	return nil, nil
}

// confirm asks for a record that may be wanted, and decodes it where it is.
func (r *Reader) confirm(s *source, i *item) (*Record, error) {
	r.picker.asked = Reference{
		Stream: s.name, Sequence: i.raw.sequence, Type: typeName(i.raw.number), Session: i.session, Statement: i.statement,
	}
	if !r.picker.selection.confirmed(&r.picker.asked) {
		return nil, nil
	}
	record, err := newRecord(s.dir, s.cur.head, &i.raw, &r.picker.strings)
	if err != nil {
		return nil, s.cur.corrupt(i.raw.offset, err.Error())
	}
	return record, nil
}

// pass says whether a chunk may be passed over of which the index says that nothing
// is wanted. Where somebody waits for what may be in it, it is read; where the index
// is wrong, it is not used any more.
func (r *Reader) pass(s *source, c *chunk) bool {
	switch {
	case c.span.Count > 0 && r.awaits(s):
		c.passed = false
		s.scan.read(c, r.picker)
		return false
	case c.span.Count > 0 && c.span.First != s.cur.next:
		s.endScan()
		s.ix, s.quiet = nil, unread
		return false
	}
	c.first, c.count, c.end, c.whole = c.span.First, c.span.Count, c.frame.end(), true
	return true
}

// behind moves s behind a chunk.
func (r *Reader) behind(s *source, c *chunk) {
	seg := s.cur
	seg.off, seg.next, seg.records = c.end, seg.next+c.count, seg.records+c.count
	seg.judged = false
	if c.count > 0 {
		s.last, s.known = seg.next-1, true
		r.records += c.count
		if !c.passed {
			r.latest = c.last
		}
	}
	if !c.whole {
		s.endScan()
		return
	}
	s.scan.awaits.Store(r.awaits(s))
	s.scan.leave()
}

// endScan lets s go on record by record.
func (s *source) endScan() {
	s.scan.end()
	s.scan, s.quiet = nil, s.cur.off
}

// awaits says whether records of s that do not match by themselves may be wanted.
func (r *Reader) awaits(s *source) bool {
	selection := r.picker.selection
	return selection == nil || selection.Confirm != nil && (selection.Awaits == nil || selection.Awaits(s.name))
}

// wanted says whether a span may hold what is wanted by itself.
func (r *Reader) wanted(span *Span) bool {
	if !r.since.IsZero() && span.Latest.Before(r.since) {
		return false
	}
	selection := r.picker.selection
	return selection == nil || selection.Span == nil || selection.Span(span)
}

// ahead starts a scan of the current segment of s where that is worth it, and
// passes the segment over where nothing in it is wanted.
func (r *Reader) ahead(s *source) error {
	seg := s.cur
	if s.scan != nil || seg == nil || !seg.head.begun || seg.seal != nil {
		return nil
	}
	if s.looked != seg {
		s.looked, s.ix, s.quiet = seg, nil, unread
		var err error
		if s.ix, err = seg.index(); err != nil {
			return err
		}
		if passed, err := r.passSegment(s); passed || err != nil {
			return err
		}
	}
	_, packed := seg.file.(*container)
	if seg.off == s.quiet || !packed && seg.off-max(s.quiet, 4096) < scanAfter || r.scans() >= maxScans {
		return nil
	}
	s.scan = startScan(s.dir, seg, s.ix, r.wanted, &r.pool)
	return nil
}

func (r *Reader) scans() int {
	n := 0
	for _, s := range r.streams {
		if s.scan != nil {
			n++
		}
	}
	return n
}

// passSegment goes to the seal of a segment that has not been read, where its index
// says that nothing before it is wanted. Without an index nothing is passed over for
// its time: a clock that was set back puts early records into late segments.
func (r *Reader) passSegment(s *source) (bool, error) {
	seg := s.cur
	if s.ix == nil || seg.off != 4096 || r.awaits(s) || r.wanted(&s.ix.Whole) {
		return false, nil
	}
	passed, err := seg.sealAtEnd()
	var damage *CorruptionError
	if errors.As(err, &damage) || err == nil && !passed {
		// It is read, and what is wrong with it is met where it stands.
		seg.off, seg.records, seg.seal = 4096, 0, nil
		return false, nil
	}
	r.records += seg.records
	return passed, err
}
