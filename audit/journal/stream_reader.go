package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// streamReader reads the records of one stream, segment by segment.
type streamReader struct {
	dir, name string
	keys      *Identities // nil: nothing encrypted is read
	passing   bool        // encrypted segments that cannot be read are passed over
	since     time.Time   // and so are those that hold nothing from then on
	cur       *segmentReader
	stream    [16]byte
	last      uint64 // sequence of the last record read, for the next segment
	known     bool   // last and stream are set
	finished  bool   // a seal says that no more will come
	torn      func(TornTail)
	noted     int64                // where the last torn tail was told
	left      func(*segmentReader) // is called behind each seal
}

// TornTail is the unfinished end of a stream whose process died, or that is
// being written at this moment.
type TornTail struct {
	File   string
	Offset int64
}

// segmentNumbers lists the segments of a stream, in their order.
func segmentNumbers(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		if n, ok := numberOf(e.Name(), ".seg"); ok {
			numbers = append(numbers, n)
		} else if n, ok := numberOf(e.Name(), ".seg"+packedSuffix); ok {
			numbers = append(numbers, n)
		} else if n, ok := numberOf(e.Name(), ".seg"+packedSuffix+lockedSuffix); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// numberOf takes the number out of the name of a segment's file with that suffix.
func numberOf(name, suffix string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(base, 10, 64)
	return n, ok && err == nil && name == fmt.Sprintf("%08d", n)+suffix
}

// packedSuffix is what the name of a container has behind that of its segment.
const packedSuffix = ".zst"

func fileName(number uint64) string { return fmt.Sprintf("%08d.seg", number) }

// checkNumbers refuses a stream in which a segment is missing.
func checkNumbers(dir string, numbers []uint64) error {
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+1 {
			return &CorruptionError{
				File:   filepath.Join(dir, fileName(numbers[i-1]+1)),
				Reason: "the segment is missing",
			}
		}
	}
	return nil
}

// readRaw returns the next record, or io.EOF where there is none (yet).
func (s *streamReader) readRaw() (rawRecord, error) {
	for {
		if raw, ok, err := s.step(); ok || err != nil {
			return raw, err
		}
	}
}

// step reads the next record, or goes on to the next segment: then it says false.
func (s *streamReader) step() (rawRecord, bool, error) {
	if s.finished || s.cur == nil {
		return rawRecord{}, false, io.EOF
	}
	if f, locked := s.cur.file.(*lockedFile); locked {
		return rawRecord{}, false, s.passLocked(f)
	}
	if !s.cur.head.begun {
		if err := s.begin(); err != nil {
			return rawRecord{}, false, err
		}
	}
	raw, hole, err := s.cur.read()
	switch {
	case errors.Is(err, io.EOF):
		return rawRecord{}, false, s.advance()
	case err != nil:
		return rawRecord{}, false, err
	case hole != nil:
		return rawRecord{}, false, s.judge(hole)
	}
	s.last, s.known = raw.sequence, true
	return raw, true, nil
}

// passLocked goes to the end of an encrypted segment, where that is allowed.
func (s *streamReader) passLocked(f *lockedFile) error {
	if !s.passing && (s.since.IsZero() || !f.lock.Latest.Before(s.since)) {
		return f.err()
	}
	if _, err := s.cur.sealAtEnd(); err != nil {
		return err
	}
	return s.advance()
}

// newRecord decodes a record of a segment of the stream in dir.
func newRecord(dir string, head *segmentHeader, raw *rawRecord, strings *interner) (*Record, error) {
	r := &Record{
		Stream: filepath.Base(dir), Node: head.node, Segment: head.number, Offset: raw.offset,
		Sequence: raw.sequence, Time: raw.at(), Type: typeName(raw.number), Cut: raw.flags&1 != 0,
		strings: strings,
	}
	if err := r.decode(raw.body); err != nil {
		return nil, err
	}
	r.strings = nil
	if r.Checkpoint != nil {
		r.Checkpoint.Stream = head.stream
	}
	if r.TextBlob != nil || r.Parameters != nil && r.Parameters.Blob != nil {
		r.journal, r.sealed = filepath.Dir(dir), head.sealed
	}
	return r, nil
}

// open starts with the first segment that can hold records of since or later.
func (s *streamReader) open(since time.Time) error {
	s.since = since
	numbers, err := segmentNumbers(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		s.finished = true // recovery found it empty, and removed it
		return nil
	}
	if err != nil || len(numbers) == 0 {
		return err
	}
	if err := checkNumbers(s.dir, numbers); err != nil {
		return err
	}
	last := len(numbers) - 1
	first := 0
	if !since.IsZero() {
		first = last
	}
	for i := first; ; i-- {
		seg, err := openSegmentWith(s.dir, numbers[i], s.keys)
		if errors.Is(err, os.ErrNotExist) && i == last && i > 0 {
			continue // it had not begun, and was removed meanwhile
		}
		if err != nil {
			return err
		}
		if i == last && seg.endedBefore(since) {
			s.finished = true
			seg.close()
			return nil
		}
		// What a segment holds is not older than its beginning.
		if i == 0 || seg.head.begun && seg.head.opened.Before(since) {
			return s.use(seg, numbers[i])
		}
		seg.close()
	}
}

// endedBefore says whether the stream was closed before since, as far as its
// last segment tells at a glance.
func (s *segmentReader) endedBefore(since time.Time) bool {
	size, err := s.file.size()
	if since.IsZero() || err != nil || size < 4096+96 || size%8 != 0 {
		return false
	}
	r, hole, err := s.recordAt(size-96, true)
	return err == nil && hole == nil && r.number == 65535 && len(r.body) == 56 && r.body[0] == 2 && r.at().Before(since)
}

// use makes seg the current segment, where it belongs to the stream.
func (s *streamReader) use(seg *segmentReader, number uint64) error {
	reason := ""
	switch {
	case seg.head.number != number:
		reason = fmt.Sprintf("it says that it is segment %d", seg.head.number)
	case s.known && seg.head.stream != s.stream:
		reason = "it belongs to another stream"
	case s.known && seg.head.begun && seg.head.first != s.last+1:
		reason = fmt.Sprintf("its first record is %d, %d must follow", seg.head.first, s.last+1)
	}
	if reason != "" {
		seg.close()
		return seg.corrupt(0, reason)
	}
	s.cur, s.stream = seg, seg.head.stream
	return nil
}

// begin looks whether the current segment has begun.
func (s *streamReader) begin() error {
	if err := s.cur.readHeader(); err != nil {
		return err
	}
	if !s.cur.head.begun {
		return s.unbegun()
	}
	if s.known && s.cur.next != s.last+1 {
		return s.cur.corrupt(512, fmt.Sprintf("its first record is %d, %d must follow", s.cur.next, s.last+1))
	}
	return nil
}

// unbegun returns io.EOF where the current segment holds no records, as it says.
func (s *streamReader) unbegun() error {
	h, err := s.cur.bytes(4096, 8, true)
	if err != nil {
		return err
	}
	if len(h) == 0 {
		s.finished = true // recovery left the header alone
		s.close()
	}
	if allZero(h) {
		return io.EOF
	}
	// The header is older than the record: look again.
	if err := s.cur.readHeader(); err != nil || s.cur.head.begun {
		return err
	}
	return s.cur.corrupt(4096, "a record in a segment that has not begun")
}

// advance goes on behind a seal.
func (s *streamReader) advance() error {
	done := s.cur
	next := filepath.Join(s.dir, fileName(done.head.number+1))
	s.last, s.known = done.seal.last, true
	if s.left != nil {
		s.left(done)
	}
	if done.seal.why != 1 {
		s.finished = true
		s.close()
		return nil
	}
	seg, err := openSegmentWith(s.dir, done.head.number+1, s.keys)
	if errors.Is(err, os.ErrNotExist) {
		return &CorruptionError{File: next, Reason: "the segment is missing"}
	}
	if err != nil {
		return err
	}
	done.close()
	return s.use(seg, done.head.number+1)
}

// judge says what a place without a valid record is. It returns nil where there
// is a record by now, and io.EOF at the end of what was written.
func (s *streamReader) judge(hole *gap) error {
	seg := s.cur
	if hole.hard {
		return seg.corrupt(seg.off, hole.reason)
	}
	last, behind := int64(-1), int64(-1)
	blank, err := seg.stillBlank()
	switch {
	case err != nil:
		return err
	case seg.judged && (blank || !seg.blank):
		return io.EOF
	case !blank:
		if last, behind, err = seg.tail(); err != nil {
			return err
		}
		seg.blank = last < 0
	}
	follows, err := s.follows()
	if err != nil {
		return err
	}
	short, err := seg.short()
	if err != nil {
		return err
	}
	// A writer may have come by since; what it wrote, it wrote in order.
	if _, again, err := seg.recordAt(seg.off, true); err != nil || again == nil {
		return err
	}
	switch {
	case short:
		return seg.corrupt(seg.off, hole.reason+", and the file was cut behind it, without a seal")
	case follows:
		return seg.corrupt(seg.off, hole.reason+", and another segment follows")
	case seg.off < seg.head.mark:
		return seg.corrupt(seg.off, hole.reason+", before what had reached the disk")
	case behind >= 0:
		return seg.corrupt(seg.off, fmt.Sprintf("%s, and a record is behind it at byte %d", hole.reason, behind))
	}
	seg.judged = true
	if last >= 0 && s.torn != nil && s.noted != seg.off {
		s.noted = seg.off
		s.torn(TornTail{File: seg.path, Offset: seg.off})
	}
	return io.EOF
}

// follows says whether a segment behind the current one has begun.
func (s *streamReader) follows() (bool, error) {
	next, err := openSegmentWith(s.dir, s.cur.head.number+1, s.keys)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer next.close()
	return next.head.begun, nil
}

// tail looks at what lies from the reader's place on: the last byte that is not
// zero, and the first record behind a gap; -1 for none.
func (s *segmentReader) tail() (last, behind int64, err error) {
	last, err = s.lastByte(s.off)
	if err != nil || last < 0 {
		return -1, -1, err
	}
	behind, err = s.recordBehind(s.off)
	return last, behind, err
}

// short says whether the file was cut, as it only is behind a seal.
func (s *segmentReader) short() (bool, error) {
	size, err := s.file.size()
	return err == nil && size < s.head.size, err
}

func (s *streamReader) close() {
	if s.cur != nil {
		s.cur.close()
		s.cur = nil
	}
}
