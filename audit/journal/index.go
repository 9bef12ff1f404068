package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// Index tells what a container may hold, so that it need not be unpacked
// (FORMAT.md, section 13). It is the word of whoever wrote it: verify holds it
// against the segment.
type Index struct {
	Label
	Whole   Span
	Frames  []Span     // in their order, from the segment's header to its seal
	Blobs   [][32]byte // sums of the blobs that its records name
	Earlier []Earlier  // of segment 1: the streams that its first record names
}

// Label is the part of an index that says which segment it is of.
type Label struct {
	Stream          [16]byte
	Segment         uint64
	Size            int64    // of the plain segment
	Stored          int64    // size of the container's file
	Hash            [32]byte // SHA-256 of the container's file
	Before, Behind  [32]byte // the chain's value before the segment's header, and behind its end
	First, Last     uint64   // sequence of its records; Last is First-1 where there are none
	Earliest        time.Time
	Latest          time.Time
	Why             uint32 // of the seal
	tiers           uint32 // of its records' backends, as the configuration had them
	blobs, earlier  uint32 // sizes
	spansSize, sums uint32
}

// Span is what a part of a segment holds: the records that begin in it.
type Span struct {
	At, Size       int64 // plain, in the segment
	Stored, Length int64 // in the container's file
	First          uint64
	Count          uint64
	Earliest       time.Time // zero where Count is
	Latest         time.Time
	types          uint64
	Classes, Tags  uint64 // bits as in FORMAT.md, section 4
	principals     keySet
	sessions       keySet
}

// HasType says whether a record of that number may be in the span.
func (s *Span) HasType(number uint16) bool { return s.types&typeBit(number) != 0 }

// MayHoldPrincipal says whether a record of the account, UPN, SID or claimed name
// may be in the span, in any case of letters.
func (s *Span) MayHoldPrincipal(name string) bool { return s.principals.may(keyOf([]byte(name))) }

// MayHoldSession says whether a record of the session may be in the span.
func (s *Span) MayHoldSession(id string) bool { return s.sessions.may(keyOf([]byte(id))) }

// typeBit is the bit of a type; types that have none of their own share bit 0.
func typeBit(number uint16) uint64 {
	if number < 64 {
		return 1 << number
	}
	return 1
}

// keySet is a set of keys, or one that may hold any.
type keySet struct {
	any  bool
	keys []uint64 // in ascending order
}

func (k *keySet) may(key uint64) bool {
	_, found := slices.BinarySearch(k.keys, key)
	return k.any || found
}

// keyOf is the key of a name: FNV-1a, 64 bits, over the name with each rune as
// the least of those that differ from it in case only.
func keyOf(name []byte) uint64 {
	key := uint64(14695981039346656037)
	var raw [utf8.UTFMax]byte
	for len(name) > 0 {
		r, n := utf8.DecodeRune(name)
		name = name[n:]
		for _, c := range raw[:utf8.EncodeRune(raw[:], leastFold(r))] {
			key = (key ^ uint64(c)) * 1099511628211
		}
	}
	return key
}

func leastFold(r rune) rune {
	if r < utf8.RuneSelf && (r < 'A' || r > 'z' || r > 'Z' && r < 'a') {
		return r
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}

const (
	indexMagic   = "PGCUSTIX"
	indexVersion = 2
	labelSize    = 256
	spanSize     = 88
	sumSize      = 32        // of a blob in the list
	maxSpans     = 256 << 20 // bytes of all spans
	anyKey       = 1<<32 - 1 // in the place of a number of keys
)

func indexName(number uint64) string { return fmt.Sprintf("%08d.idx", number) }

var errIndex = errors.New("it is not an index, or damaged")

// readIndex reads the index of a container. An error that wraps errIndex or
// fs.ErrNotExist says that there is none to use: the segment has to be read.
func readIndex(dir string, number uint64) (*Index, error) {
	b, err := readIndexFile(filepath.Join(dir, indexName(number)))
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexName(number), err)
	}
	return x, nil
}

func readIndexFile(path string) ([]byte, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, labelSize+maxSpans+1))
	if err == nil && len(b) > labelSize+maxSpans {
		err = fmt.Errorf("%s: %w: it is too large", filepath.Base(path), errIndex)
	}
	return b, err
}

func parseIndex(b []byte) (*Index, error) {
	label, err := parseLabel(b)
	if err != nil {
		return nil, err
	}
	x := &Index{Label: *label}
	rest := b[labelSize:]
	if int64(len(rest)) != int64(x.blobs)+int64(x.earlier)+int64(x.spansSize) || crc32.Checksum(rest, castagnoliReader) != x.sums {
		return nil, fmt.Errorf("%w: what is behind its label has another checksum", errIndex)
	}
	for list := rest[:x.blobs]; len(list) >= sumSize; list = list[sumSize:] {
		x.Blobs = append(x.Blobs, [32]byte(list))
	}
	x.Earlier = parseEarlier(rest[x.blobs:][:x.earlier])
	spans := rest[x.blobs+x.earlier:]
	var s Span
	for i := 0; len(spans) > 0; i++ {
		if s, spans, err = parseSpan(spans); err != nil {
			return nil, err
		}
		if i == 0 {
			x.Whole = s
			continue
		}
		x.Frames = append(x.Frames, s)
	}
	if len(x.Frames) < fewestRows {
		return nil, fmt.Errorf("%w: spans are missing", errIndex)
	}
	return x, nil
}

// parseLabel reads the label at the beginning of an index.
func parseLabel(b []byte) (*Label, error) {
	if len(b) < labelSize || string(b[:8]) != indexMagic {
		return nil, errIndex
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != indexVersion {
		return nil, fmt.Errorf("%w: version %d", errIndex, v)
	}
	if crc32.Checksum(b[:252], castagnoliReader) != binary.LittleEndian.Uint32(b[252:]) {
		return nil, fmt.Errorf("%w: its label has another checksum", errIndex)
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	l := &Label{
		Stream: [16]byte(b[16:]), Segment: u64(32), Size: int64(u64(40)), Stored: int64(u64(48)),
		Hash: [32]byte(b[56:]), Before: [32]byte(b[88:]), Behind: [32]byte(b[120:]),
		First: u64(152), Last: u64(160),
		Why:       binary.LittleEndian.Uint32(b[184:]),
		spansSize: binary.LittleEndian.Uint32(b[188:]), sums: binary.LittleEndian.Uint32(b[192:]),
		tiers: binary.LittleEndian.Uint32(b[196:]), blobs: binary.LittleEndian.Uint32(b[200:]), earlier: binary.LittleEndian.Uint32(b[204:]),
	}
	if l.blobs%sumSize != 0 || l.earlier%earlierSize != 0 || l.tiers&^tierBits != 0 {
		return nil, fmt.Errorf("%w: its label has sizes that cannot be", errIndex)
	}
	if l.Last >= l.First {
		l.Earliest, l.Latest = unixTime(u64(168)), unixTime(u64(176))
	}
	return l, nil
}

func unixTime(ns uint64) time.Time { return time.Unix(0, int64(ns)).UTC() }

func parseSpan(b []byte) (s Span, rest []byte, err error) {
	if len(b) < spanSize {
		return s, nil, fmt.Errorf("%w: it ends within a span", errIndex)
	}
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	s = Span{
		At: int64(u64(0)), Size: int64(u64(1)), Stored: int64(u64(2)), Length: int64(u64(3)),
		First: u64(4), Count: u64(5), types: u64(8), Classes: u64(9), Tags: u64(10),
	}
	if s.Count > 0 {
		s.Earliest, s.Latest = unixTime(u64(6)), unixTime(u64(7))
	}
	rest = b[spanSize:]
	for _, set := range []*keySet{&s.principals, &s.sessions} {
		if rest, err = set.parse(rest); err != nil {
			return s, nil, err
		}
	}
	return s, rest, nil
}

func (k *keySet) parse(b []byte) (rest []byte, err error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: it ends within a span", errIndex)
	}
	n := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if n == anyKey {
		k.any = true
		return b, nil
	}
	if uint64(len(b)) < 8*uint64(n) {
		return nil, fmt.Errorf("%w: it ends within a span", errIndex)
	}
	k.keys = make([]uint64, n)
	for i := range k.keys {
		k.keys[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	if !slices.IsSorted(k.keys) {
		return nil, fmt.Errorf("%w: keys without order", errIndex)
	}
	return b[8*n:], nil
}

// index returns what the segment's index says, nil where the segment is not a
// container, or has no index that is whole and its own: then it has to be read.
func (s *segmentReader) index() (*Index, error) {
	c, ok := s.file.(*container)
	if !ok {
		return nil, nil
	}
	x, err := s.readIndex()
	switch {
	case errors.Is(err, errIndex), errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !x.fits(s.head, c):
		return nil, nil
	}
	return x, nil
}

func (s *segmentReader) readIndex() (*Index, error) {
	b, err := s.readIndexBytes()
	if err != nil {
		return nil, err
	}
	return parseIndex(b)
}

func (s *segmentReader) readIndexBytes() ([]byte, error) {
	dir := filepath.Dir(s.path)
	if s.head.sealed == nil {
		return readIndexFile(filepath.Join(dir, indexName(s.head.number)))
	}
	b, _, err := readLockedIndex(dir, s.head.number, s.head.sealed.keys)
	return b, err
}

// fits says whether the index is of this container, as far as shows at a glance.
func (x *Index) fits(h *segmentHeader, c *container) bool {
	if x.Stream != h.stream || x.Segment != h.number || len(x.Frames) != len(c.frames) {
		return false
	}
	for i, f := range c.frames {
		s := &x.Frames[i]
		if (frame{s.At, s.Size, s.Stored, s.Length}) != f {
			return false
		}
	}
	return true
}
