package journal

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"
)

// maxUncovered bounds how many records can stand without a checkpoint that covers
// them, and with it the memory that verifying takes.
const maxUncovered = 1 << 23

// wanted is what somebody outside the stream says of it.
type wanted struct {
	sequence uint64
	chain    [32]byte
	last     bool // the record is the stream's last
	by       string
}

// link is the chain behind a record.
type link struct {
	chain   [32]byte
	offset  int64 // of the record
	end     int64 // behind it
	segment uint64
	sum     [4]byte
}

// place is a place in a stream.
type place struct {
	segment uint64
	offset  int64
}

// streamCheck verifies one stream.
type streamCheck struct {
	reader    streamReader
	blobs     *blobCheck
	id        [16]byte
	keys      map[string]ed25519.PublicKey
	earlier   []Earlier
	followers []*streamCheck // streams that say how this one ended
	wanted    []wanted

	index   *indexer // of the container that is read; nil: it is none
	notes   []string
	chain   chainReader
	entered uint64 // segment whose header is in the chain
	links   []link // since the last checkpoint: of the record first and those behind it
	first   uint64 // sequence of the first of the links

	segments      int
	records       uint64
	bytes         int64
	why           uint32 // of the last seal; 0: it has none
	good          uint64 // the last record that a checkpoint covers, signed or not
	proven        uint64 // the last that a signature covers
	behind        place  // the last that a signature covers
	covered       time.Time
	unsigned      uint64 // records behind it, without signed checkpoints
	dark          uint64 // the last record that nobody can read: it was removed
	removed       *Tombstone
	sealed        int // segments that are encrypted, and could not be read
	sealedRecords uint64
	tried         bool // identities were given, that do not open them
	closing       bool // the last record is a signed checkpoint that covers all before it
	vouched       bool
	finding       *Finding
}

func newStreamCheck(dir, name string, keys []ed25519.PublicKey) *streamCheck {
	s := &streamCheck{reader: streamReader{dir: dir, name: name}, keys: map[string]ed25519.PublicKey{}}
	s.behind = place{1, 4096}
	for _, key := range keys {
		s.keys[KeyID(key)] = key
	}
	s.reader.left = s.leave
	return s
}

// run reads the stream up to its end, or to the first finding.
func (s *streamCheck) run(ctx context.Context) error {
	defer s.reader.close()
	numbers, err := s.open()
	if err != nil || numbers == nil {
		return s.damage(err)
	}
	for s.finding == nil && ctx.Err() == nil {
		raw, err := s.reader.readRaw()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s.damage(err)
		}
		s.record(&raw)
		if s.reader.cur.head.number > numbers[len(numbers)-1] {
			break // made since: a busy writer would never let it end
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.atEnd(numbers)
	return s.damage(checkNumbers(s.reader.dir, numbers)) // also of what was not come to
}

func (s *streamCheck) open() ([]uint64, error) {
	numbers, err := segmentFiles(s.reader.dir)
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	if !s.behindRemoved(numbers[0]) {
		return nil, &CorruptionError{File: filepath.Join(s.reader.dir, fileName(numbers[0]-1)), Reason: "the segment is missing"}
	}
	seg, err := openSegmentWith(s.reader.dir, numbers[0], s.reader.keys)
	if err != nil {
		return nil, err
	}
	if !seg.head.names(s.reader.name) {
		seg.close()
		return nil, &CorruptionError{File: seg.path, Reason: "it is of a stream of another name: the directory was renamed, which changes how its records are named and ordered"}
	}
	return numbers, s.reader.use(seg, numbers[0])
}

// names says whether a directory of that name is one of the segment's stream. Its start
// is before the segment was made, but for a clock that was set meanwhile.
func (h *segmentHeader) names(dir string) bool {
	match := streamName.FindStringSubmatch(dir)
	if match == nil {
		return false
	}
	seconds, err := strconv.ParseInt(match[1], 10, 64)
	return err == nil && time.Unix(seconds, 0).Before(h.created.Add(namedLate)) &&
		dir == fmt.Sprintf("%s-%s-%s", safeName(h.node), match[1], hex.EncodeToString(h.stream[:8]))
}

const namedLate = time.Minute

// damage makes a finding of what the reader refuses, and returns other errors.
func (s *streamCheck) damage(err error) error {
	var c *CorruptionError
	if !errors.As(err, &c) {
		return err
	}
	if s.finding == nil {
		s.findAt(segmentOf(c.File), c.Offset, s.reader.last+1, c.Reason)
	}
	return nil
}

// find complains about the record with the sequence.
func (s *streamCheck) find(sequence uint64, reason string) {
	segment, offset := s.behind.segment, s.behind.offset
	switch {
	case sequence >= s.first && sequence-s.first < uint64(len(s.links)):
		l := s.links[sequence-s.first]
		segment, offset = l.segment, l.offset
	case len(s.links) > 0 && sequence >= s.first:
		l := s.links[len(s.links)-1]
		segment, offset = l.segment, l.end
	}
	s.findAt(segment, offset, sequence, reason)
}

func (s *streamCheck) findAt(segment uint64, offset int64, sequence uint64, reason string) {
	if s.finding == nil {
		s.finding = &Finding{Stream: s.reader.name, Segment: segment, Offset: offset, Sequence: sequence, Reason: reason}
	}
}

// enter links the header of a segment, before the first that is in it.
func (s *streamCheck) enter(seg *segmentReader) {
	if s.entered == seg.head.number {
		return
	}
	s.entered = seg.head.number
	s.segments++
	if seg.head.number == 1 {
		s.chain.value = seg.head.start
	}
	if _, ok := seg.file.(*container); ok {
		s.index = newIndexer(seg.head, s.chain.value)
	}
	s.chain.link(seg.head.chained[:])
}

// start compares what the first record says of earlier streams with the header. A stream
// that has no other passes unsigned: it must be able to tell of nothing but a start.
func (s *streamCheck) start(raw *rawRecord) {
	var r Record
	err := r.decode(raw.body)
	switch {
	case err != nil:
		s.findAt(1, raw.offset, 1, err.Error())
	case raw.number != openedNumber:
		s.findAt(1, raw.offset, 1, "the stream does not begin with the start of a process")
	case s.reader.cur.head.start != startOf(r.Earlier):
		s.findAt(1, 528, 1, "the chain does not start from the streams that the first record names")
	}
}

// startOf is the value that the chain starts from behind these streams.
func startOf(earlier []Earlier) [32]byte {
	b := []byte("pgcustos journal 2\n")
	for _, e := range earlier {
		b = append(b, e.Stream[:]...)
		b = append(b, u64le(e.Sequence)...)
		b = append(b, e.Chain[:]...)
	}
	return sha256Sum(b)
}

// leave looks at a seal.
func (s *streamCheck) leave(seg *segmentReader) {
	if f, locked := seg.file.(*lockedFile); locked {
		s.passLock(seg, f)
		s.passedRemoved(seg)
		if seg.seal.why != 1 {
			s.why = seg.seal.why
		}
		return
	}
	s.enter(seg)
	if seg.seal.why == 1 {
		s.chain.link(seg.seal.whole[:])
		s.proveIndex(seg)
		s.passedRemoved(seg)
		return
	}
	s.proveIndex(seg)
	s.passedRemoved(seg)
	s.why = seg.seal.why
	if seg.seal.chain != s.chain.value {
		s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed: the seal has another chain value", s.good+1, s.reader.last))
	}
}

func (s *streamCheck) record(raw *rawRecord) {
	s.enter(s.reader.cur)
	s.records++
	s.bytes += int64(len(raw.whole))
	if err := s.fields(raw.body); err != nil {
		s.findAt(s.reader.cur.head.number, raw.offset, raw.sequence, err.Error())
		return
	}
	if raw.sequence == 1 {
		s.start(raw)
	}
	s.chain.link(raw.whole)
	if c, ok := s.reader.cur.file.(*container); ok && s.index != nil {
		s.index.add(raw, c.frameOf(raw.offset))
	}
	if len(s.links) == 0 {
		s.first = raw.sequence
	}
	if len(s.links) >= maxUncovered {
		s.find(s.good+1, fmt.Sprintf("no checkpoint covers the record, or the %d behind it", maxUncovered))
		return
	}
	s.links = append(s.links, link{
		chain: s.chain.value, offset: raw.offset, end: s.reader.cur.off, segment: s.reader.cur.head.number, sum: [4]byte(raw.whole[4:8]),
	})
	s.unsigned++
	s.closing = false
	for _, w := range s.wanted {
		if !w.last && w.sequence == raw.sequence && w.chain != s.chain.value {
			s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed: %s has another chain value", s.good+1, raw.sequence, w.by))
			return
		}
	}
	if raw.number == 15 {
		s.checkpoint(raw)
	}
}

// fields proves that the fields fill the body, and the blobs that they name.
func (s *streamCheck) fields(body []byte) error {
	for len(body) >= 6 {
		id := binary.LittleEndian.Uint16(body)
		size := uint64(binary.LittleEndian.Uint32(body[2:]))
		if size > uint64(len(body)-6) {
			return errFields
		}
		if size == blobField && knownFields[id].kind == kindBlob {
			if err := s.blobs.check(body[6:6+size], s.reader.cur.head.sealed); err != nil {
				return err
			}
		}
		body = body[6+size:]
	}
	if len(body) > 0 {
		return errFields
	}
	return nil
}

// atEnd compares the stream's end with what is known of it.
func (s *streamCheck) atEnd(numbers []uint64) {
	s.sealedNote()
	last := s.reader.last
	for _, w := range s.wanted {
		switch {
		case w.sequence > last:
			s.find(last+1, fmt.Sprintf("the stream's end was cut off: %s tells of %d records", w.by, w.sequence))
		case w.last && w.sequence < last:
			s.find(w.sequence+1, fmt.Sprintf("the record was added: %s tells of %d records", w.by, w.sequence))
		case w.last && w.chain != s.chain.value:
			s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed: %s has another chain value", s.good+1, last, w.by))
		}
	}
	if s.why > 0 && s.entered != numbers[len(numbers)-1] {
		s.findAt(s.entered+1, 0, last+1, "a segment behind the end of the stream")
	}
}
