package journal

import "encoding/binary"

// sessions are those of a block whose fields stand in one record, to which the others
// of the session refer (FORMAT.md, section 3).
type sessions struct {
	block  int64
	known  map[int64][]byte // by the offset of that record
	joined []byte
}

// mayShare says whether a record may refer to the place that it does.
func (h *segmentHeader) mayShare(r *rawRecord) bool {
	return h.version >= 3 && r.number != 65535 && r.shared >= 4096 && r.shared < r.offset && r.shared%8 == 0 &&
		r.shared/shareBlock == r.offset/shareBlock
}

// complete puts the fields that the record refers to before its own. Its body lives
// until the next one is completed, unless keep says otherwise. at reads the record at an offset.
func (s *sessions) complete(r *rawRecord, at func(off int64) (rawRecord, *gap, error)) (*gap, error) {
	if r.shared == 0 {
		return nil, nil
	}
	fields, hole, err := s.fields(r.shared, at)
	if hole == nil && err == nil {
		if need := len(fields) + len(r.body); cap(s.joined) < need {
			s.joined = make([]byte, 0, max(need, 64<<10))
		}
		s.joined = append(append(s.joined[:0], fields...), r.body...)
		r.body, r.own = s.joined, len(fields)
	}
	return hole, err
}

// keep lets the body of the record that was completed last live on.
func (s *sessions) keep(r *rawRecord) {
	if r.shared != 0 {
		s.joined = s.joined[len(s.joined):] // the next one comes behind it
	}
}

// fields returns the session's fields of the record at off.
func (s *sessions) fields(off int64, at func(off int64) (rawRecord, *gap, error)) ([]byte, *gap, error) {
	if block := off / shareBlock; s.known == nil || s.block != block {
		s.block, s.known = block, map[int64][]byte{}
	}
	if fields := s.known[off]; fields != nil {
		return fields, nil, nil
	}
	r, hole, err := at(off)
	if err != nil {
		return nil, nil, err
	}
	if hole == nil {
		s.known[off] = r.session()
	}
	if s.known[off] == nil {
		return nil, &gap{reason: "the record has its session from where none is", hard: true}, nil
	}
	return s.known[off], nil, nil
}

// session returns a copy of the session's fields that the record has itself; nil where
// it has none.
func (r *rawRecord) session() []byte {
	var fields []byte
	if r.number == 65535 || r.shared != 0 {
		return nil
	}
	for body := r.body; len(body) >= 6; {
		size := uint64(binary.LittleEndian.Uint32(body[2:]))
		if size > uint64(len(body)-6) {
			return nil
		}
		if id := binary.LittleEndian.Uint16(body); id >= 1 && id <= 21 {
			fields = append(fields, body[:6+size]...)
		}
		body = body[6+size:]
	}
	return fields
}

// recordApart reads the record at off, and leaves the window as it is.
func (s *segmentReader) recordApart(off int64) (rawRecord, *gap, error) {
	if at := off - s.at; at >= 0 && at < int64(len(s.window)) {
		if r, ok := s.head.recordIn(s.window[at:], off); ok {
			return r, nil, nil
		}
	}
	return s.head.recordOf(s.file, off)
}

// recordOf reads the record at off from a file.
func (h *segmentHeader) recordOf(file segmentFile, off int64) (r rawRecord, hole *gap, err error) {
	b := make([]byte, 40)
	if _, err := file.ReadAt(b, off); err != nil {
		return r, nil, err
	}
	length, hole := h.checkRecord(b, off)
	if hole != nil {
		return r, hole, nil
	}
	b = make([]byte, (length+7)&^7)
	if _, err := file.ReadAt(b, off); err != nil {
		return r, nil, err
	}
	r, hole = h.parseRecord(b, length, off)
	return r, hole, nil
}
