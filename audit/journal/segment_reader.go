package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const readWindow = 256 << 10

// segmentReader reads the records of one segment, from its file.
type segmentReader struct {
	file segmentFile
	path string // of the file, whatever its form
	head *segmentHeader
	lock *Lock // of an encrypted one; nil: it is in clear

	off     int64  // of the next record
	next    uint64 // its sequence
	records uint64 // read so far
	seal    *seal

	window []byte // of the file, from at
	at     int64
	shares sessions // that records refer to

	judged bool  // what lies behind off was looked at
	blank  bool  // it was looked at as a whole once, and was zero
	glance int64 // where it is looked at next, piece by piece
}

// rawRecord is a record whose sums are right. Its body lives until the next read.
type rawRecord struct {
	offset   int64
	sequence uint64
	nanos    int64 // of its time
	number   uint16
	flags    uint16
	shared   int64  // offset of the record whose session's fields it has, too; 0: its own
	body     []byte // with them, once it is completed
	own      int    // where in the body the record's own fields begin
	whole    []byte // header, body and padding
}

func (r *rawRecord) at() time.Time { return time.Unix(0, r.nanos).UTC() }

// seal is the last record of a segment.
type seal struct {
	why      uint32
	last     uint64
	records  uint64
	setAside uint64
	chain    [32]byte
	whole    [96]byte
}

// gap is a place where no valid record begins.
type gap struct {
	reason string
	hard   bool // the sums are right, so that no crash can have made it
}

// segmentFile is where the plain bytes of a segment are read from.
type segmentFile interface {
	io.ReaderAt
	io.Closer
	size() (int64, error) // of the plain segment, as it is now
}

// plainFile is a segment as it was written.
type plainFile struct{ *os.File }

func (f plainFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openSegment opens a segment of the stream in dir, whatever its form. The plain
// file counts while it is there; its container has its name before it goes.
func openSegment(dir string, number uint64) (*segmentReader, error) {
	return openSegmentWith(dir, number, nil)
}

// openSegmentWith is openSegment for who can read encrypted ones; keys may be nil.
func openSegmentWith(dir string, number uint64, keys *Identities) (*segmentReader, error) {
	path := filepath.Join(dir, fileName(number))
	file, err := openFile(path)
	if err == nil {
		return newSegmentReader(plainFile{file}, path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	packed, missing := openContainer(path + packedSuffix)
	if errors.Is(missing, fs.ErrNotExist) {
		seg, missing := openLocked(dir, number, keys)
		if errors.Is(missing, fs.ErrNotExist) {
			return nil, err // it names the segment
		}
		return seg, missing
	}
	if missing != nil {
		return nil, missing
	}
	return newSegmentReader(packed, packed.path)
}

// newSegmentReader reads the header. It owns the file, also where it fails.
func newSegmentReader(file segmentFile, path string) (*segmentReader, error) {
	s := &segmentReader{file: file, path: path, off: 4096}
	err := s.readHeader()
	if err == nil {
		err = s.fits()
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return s, nil
}

// fits refuses a file that is longer than a segment ever is: it may have no end.
func (s *segmentReader) fits() error {
	size, err := s.file.size()
	if err == nil && size > s.head.size {
		err = s.corrupt(s.head.size, "the file is longer than it was made")
	}
	return err
}

// readHeader reads the header, once more where a part of it was being written.
func (s *segmentReader) readHeader() error {
	b := make([]byte, 4096)
	var fault *headerFault
	for range 2 {
		if _, err := s.file.ReadAt(b, 0); err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			return s.corrupt(0, "the file ends within the header")
		}
		if s.head, fault = parseHeader(b); fault == nil {
			s.next = s.head.first
			return nil
		}
	}
	return s.corrupt(fault.at, fault.reason)
}

func (s *segmentReader) corrupt(at int64, reason string) error {
	return &CorruptionError{File: s.path, Offset: at, Reason: reason}
}

func (s *segmentReader) close() { _ = s.file.Close() }

// bytes returns n bytes of the file from off on, fewer where it ends. fresh
// reads them again in any case.
func (s *segmentReader) bytes(off, n int64, fresh bool) ([]byte, error) {
	if !fresh && off >= s.at && off+n <= s.at+int64(len(s.window)) {
		return s.window[off-s.at:][:n], nil
	}
	want := int(max(n, readWindow))
	if fresh {
		want = int(max(n, 4096)) // most often at the end of a live segment
	}
	if cap(s.window) < want || cap(s.window) > 2*readWindow && want == readWindow {
		s.window = make([]byte, want)
	}
	got, err := s.file.ReadAt(s.window[:want], off)
	if err != nil && !errors.Is(err, io.EOF) && int64(got) < n {
		s.window = s.window[:0]
		return nil, err
	}
	s.at, s.window = off, s.window[:got]
	return s.window[:min(n, int64(got))], nil
}

// read returns the next record. It returns io.EOF behind a seal, and a gap where
// none begins.
func (s *segmentReader) read() (rawRecord, *gap, error) {
	if s.seal != nil {
		return rawRecord{}, nil, io.EOF
	}
	r, hole, err := s.recordAt(s.off, false)
	if err == nil && hole != nil {
		// The window may be older than the record.
		r, hole, err = s.recordAt(s.off, true)
	}
	if err == nil && hole == nil {
		hole = s.expect(&r)
	}
	end := r.offset + int64(len(r.whole))
	if err == nil && hole == nil {
		hole, err = s.shares.complete(&r, s.recordApart)
	}
	if err != nil || hole != nil {
		return rawRecord{}, hole, err
	}
	s.off = end
	s.judged = false
	if r.number == 65535 {
		return rawRecord{}, nil, s.sealed(&r)
	}
	s.next++
	s.records++
	return r, nil, nil
}

// recordAt reads the record that begins at off, and proves its sums.
func (s *segmentReader) recordAt(off int64, fresh bool) (rawRecord, *gap, error) {
	var r rawRecord
	h, err := s.bytes(off, 40, fresh)
	if err != nil {
		return r, nil, err
	}
	length, hole := s.head.checkRecord(h, off)
	if hole != nil {
		return r, hole, nil
	}
	padded := (length + 7) &^ 7
	if padded > readWindow { // no room is made for what is not there
		size, err := s.file.size()
		if err != nil {
			return r, nil, err
		}
		if off+padded > size {
			return r, &gap{reason: "the file ends within a record"}, nil
		}
	}
	b, err := s.bytes(off, padded, false)
	if err != nil {
		return r, nil, err
	}
	if int64(len(b)) < padded {
		return r, &gap{reason: "the file ends within a record"}, nil
	}
	r, hole = s.head.parseRecord(b, length, off)
	return r, hole, nil
}

// recordIn reads the record that b begins with, which stands at off; false where
// there is none, or not all of it.
func (h *segmentHeader) recordIn(b []byte, off int64) (rawRecord, bool) {
	length, hole := h.checkRecord(b[:min(len(b), 40)], off)
	padded := (length + 7) &^ 7
	if hole != nil || int64(len(b)) < padded {
		return rawRecord{}, false
	}
	r, hole := h.parseRecord(b[:padded], length, off)
	return r, hole == nil
}

// parseRecord takes a record apart, whose header is proven: b is all of it, with
// its padding.
func (h *segmentHeader) parseRecord(b []byte, length, off int64) (rawRecord, *gap) {
	sum := crc32.Update(h.seed, castagnoliReader, b[:4])
	if binary.LittleEndian.Uint32(b[4:]) != crc32.Update(sum, castagnoliReader, b[8:length]) {
		return rawRecord{}, &gap{reason: "the record's checksum is wrong"}
	}
	r := rawRecord{
		offset:   off,
		sequence: binary.LittleEndian.Uint64(b[8:]),
		nanos:    int64(binary.LittleEndian.Uint64(b[16:])),
		number:   binary.LittleEndian.Uint16(b[24:]),
		flags:    binary.LittleEndian.Uint16(b[26:]),
		shared:   int64(binary.LittleEndian.Uint64(b[32:])),
		body:     b[40:length],
		whole:    b,
	}
	if r.shared != 0 && !h.mayShare(&r) || r.flags > 1 || !allZero(b[length:]) {
		return r, &gap{reason: "the record holds what this program does not know", hard: true}
	}
	return r, nil
}

// maxLength is that of the largest record (FORMAT.md, section 3).
const maxLength = 1<<31 - 8

// checkRecord proves the 40 bytes of a record's header, and returns its length.
func (h *segmentHeader) checkRecord(b []byte, off int64) (int64, *gap) {
	if len(b) < 40 {
		return 0, &gap{reason: "the segment ends without a seal"}
	}
	length := int64(binary.LittleEndian.Uint32(b))
	if length == 0 {
		return 0, &gap{reason: "no record"}
	}
	if length < 40 || length > maxLength || length > h.size-off {
		return 0, &gap{reason: fmt.Sprintf("a record cannot have %d bytes here", length)}
	}
	sum := crc32.Update(crc32.Update(h.seed, castagnoliReader, b[:4]), castagnoliReader, b[8:28])
	if binary.LittleEndian.Uint32(b[28:]) != crc32.Update(sum, castagnoliReader, b[32:40]) {
		return 0, &gap{reason: "the checksum of the record's header is wrong"}
	}
	return length, nil
}

// expect says whether the record is the one that must come next.
func (s *segmentReader) expect(r *rawRecord) *gap {
	want := s.next
	if r.number == 65535 {
		want--
	}
	if r.sequence != want {
		what := "a record was put in, repeated or moved"
		if r.sequence > want {
			what = "a record was removed or moved"
		}
		return &gap{reason: fmt.Sprintf("record %d where %d must be: %s", r.sequence, want, what), hard: true}
	}
	return nil
}

// sealed reads a seal, and proves that nothing is behind it.
func (s *segmentReader) sealed(r *rawRecord) error {
	b := r.body
	if len(b) != 56 || !allZero(b[4:8]) || b[0] == 1 && !allZero(b[24:]) {
		return s.corrupt(r.offset, "the seal holds what this program does not know")
	}
	found := &seal{
		why:      binary.LittleEndian.Uint32(b),
		last:     r.sequence,
		records:  binary.LittleEndian.Uint64(b[8:]),
		setAside: binary.LittleEndian.Uint64(b[16:]),
	}
	copy(found.chain[:], b[24:])
	copy(found.whole[:], r.whole)
	if found.why < 1 || found.why > 3 || found.records != s.records {
		return s.corrupt(r.offset, "the seal does not fit the segment")
	}
	at, err := s.lastByte(s.off)
	if err != nil {
		return err
	}
	if at >= 0 {
		return s.corrupt(at, "bytes behind the seal")
	}
	s.seal = found
	return io.EOF
}

// sealAtEnd reads the seal of a segment that was cut behind it. The records
// before it are not read.
func (s *segmentReader) sealAtEnd() (bool, error) {
	size, err := s.file.size()
	if err != nil {
		return false, err
	}
	off := size - 96
	if off < 4096 || off%8 != 0 {
		return false, nil
	}
	r, hole, err := s.recordAt(off, true)
	if err != nil || hole != nil || r.number != 65535 || len(r.body) != 56 {
		return false, err
	}
	s.records = binary.LittleEndian.Uint64(r.body[8:])
	s.off = size
	if r.sequence+1 != s.head.first+s.records {
		return false, s.corrupt(off, "the seal does not fit the segment")
	}
	err = s.sealed(&r)
	return s.seal != nil, ignoreEnd(err)
}

// stillBlank says whether what lies behind off can be taken for what it was when it
// was zero: its beginning is, and the piece whose turn it is. So whoever follows a
// live segment looks at all of it again and again, and at little of it each time.
func (s *segmentReader) stillBlank() (bool, error) {
	if !s.blank {
		return false, nil
	}
	near, err := s.bytes(s.off, 4096, true)
	if err != nil || !allZero(near) {
		return false, err
	}
	if s.glance < s.off || s.glance >= s.head.size {
		s.glance = s.off
	}
	piece, err := s.bytes(s.glance, readWindow, false)
	s.glance += readWindow
	return err == nil && allZero(piece), err
}

// lastByte returns the offset of the last byte from off on that is not zero, -1
// where there is none.
func (s *segmentReader) lastByte(off int64) (int64, error) {
	last := int64(-1)
	err := s.scan(off, func(at int64, b []byte) bool {
		if !allZero(b) {
			for i := len(b) - 1; i >= 0; i-- {
				if b[i] != 0 {
					last = at + int64(i)
					break
				}
			}
		}
		return true
	})
	return last, err
}

// scan calls do with the file's bytes from off on, piece by piece.
func (s *segmentReader) scan(off int64, do func(at int64, b []byte) bool) error {
	buf := make([]byte, readWindow)
	for {
		n, err := s.file.ReadAt(buf, off)
		if n > 0 && !do(off, buf[:n]) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		off += int64(n)
	}
}

// recordBehind returns the offset of the first valid record at any multiple of 8
// behind off, -1 where there is none. No two records overlap: where more headers are
// right than there is room for, a crash did not make them, and they are told for one.
func (s *segmentReader) recordBehind(off int64) (int64, error) {
	room := s.head.size - off
	for at := off + 8; ; at += 8 {
		h, err := s.bytes(at, 40, false)
		if err != nil {
			return -1, err
		}
		if len(h) < 40 {
			return -1, nil
		}
		if allZero(h[:8]) {
			continue
		}
		length, hole := s.head.checkRecord(h, at)
		if hole != nil {
			continue
		}
		if room -= length; room < 0 {
			return at, nil
		}
		if _, hole, err := s.recordAt(at, false); err != nil || hole == nil || hole.hard {
			return at, err
		}
	}
}
