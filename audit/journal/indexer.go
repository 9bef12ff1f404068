package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"time"
)

const (
	maxFrameKeys = 256  // of a frame, in a set of an index
	maxWholeKeys = 4096 // of a segment
	maxMemo      = 1 << 16
)

// indexer makes the index of a container from the records in it.
type indexer struct {
	label  Label
	whole  spanMaker
	frames []spanMaker
	cur    int
	memo   map[string]uint64 // keys of names met before

	// tier is asked for the bits of a record's backend; nil: nobody knows.
	tier    func(backend []byte) uint32
	blobs   map[[32]byte]struct{}
	earlier []byte
}

// spanMaker is a span that records are put into.
type spanMaker struct {
	Span
	earliest, latest     int64
	principals, sessions keyMaker
}

// keyMaker collects keys up to a bound.
type keyMaker struct {
	most int
	any  bool
	keys map[uint64]struct{}
}

// newIndexer starts the index of the segment, before its first record. before is
// the chain's value before its header.
func newIndexer(seg *segmentReader, c *container, before [32]byte) *indexer {
	x := &indexer{memo: map[string]uint64{}, blobs: map[[32]byte]struct{}{}}
	x.label = Label{Stream: seg.head.stream, Segment: seg.head.number, Before: before}
	x.label.Size, _ = c.size()
	x.whole = newSpan(frame{size: x.label.Size}, seg.head.first, maxWholeKeys)
	for _, f := range c.frames {
		x.whole.Length += f.length
		x.frames = append(x.frames, newSpan(f, 0, maxFrameKeys))
	}
	return x
}

func newSpan(f frame, first uint64, most int) spanMaker {
	s := spanMaker{Span: Span{At: f.at, Size: f.size, Stored: f.stored, Length: f.length, First: first}}
	s.earliest, s.latest = math.MaxInt64, math.MinInt64
	s.principals.most, s.sessions.most = most, most
	return s
}

// add takes in the next record. It keeps no reference to it.
func (x *indexer) add(raw *rawRecord) {
	for raw.offset >= x.frames[x.cur].At+x.frames[x.cur].Size {
		x.cur++
	}
	f := &x.frames[x.cur]
	if f.Count == 0 {
		f.First = raw.sequence
	}
	f.add(raw)
	x.whole.add(raw)
	known, tiers := false, uint32(tierNone)
	for body := raw.body; len(body) >= 6; {
		id := binary.LittleEndian.Uint16(body)
		size := uint64(binary.LittleEndian.Uint32(body[2:]))
		if size > uint64(len(body)-6) {
			break
		}
		value := body[6 : 6+size]
		body = body[6+size:]
		switch id {
		case 1:
			key := x.key(value)
			f.sessions.add(key)
			x.whole.sessions.add(key)
		case 2, 3, 4, 36:
			known = true
			x.principal(f, value)
			if bare := bareName(value); id == 36 && len(bare) < len(value) {
				x.principal(f, bare)
			}
		case 16:
			if x.tier != nil {
				tiers = x.tier(value)
			}
		case 63, 76:
			if validRef(value) {
				x.blobs[[32]byte(value[40:])] = struct{}{}
			}
		case 119:
			if raw.sequence == 1 && len(value) == earlierSize {
				x.earlier = append(x.earlier, value...)
			}
		case 51, 52:
			f.bits(id, value)
			x.whole.bits(id, value)
		}
	}
	if x.tier != nil && raw.number != checkpointNumber && raw.number != openedNumber {
		x.label.tiers |= tiers
	}
	if raw.flags&1 != 0 && !known {
		// The session's fields did not fit: it may be anybody's.
		f.principals.spill()
		x.whole.principals.spill()
	}
}

func (x *indexer) principal(f *spanMaker, name []byte) {
	key := x.key(name)
	f.principals.add(key)
	x.whole.principals.add(key)
}

// bareName takes the domain off CORP\alice and alice@corp.example.com: who claims a
// name is asked for without it too.
func bareName(name []byte) []byte {
	if _, after, ok := bytes.Cut(name, []byte(`\`)); ok {
		return after
	}
	before, _, _ := bytes.Cut(name, []byte("@"))
	return before
}

func (x *indexer) key(name []byte) uint64 {
	if key, ok := x.memo[string(name)]; ok {
		return key
	}
	key := keyOf(name)
	if len(name) <= 256 {
		if len(x.memo) >= maxMemo {
			clear(x.memo)
		}
		x.memo[string(name)] = key
	}
	return key
}

func (s *spanMaker) add(raw *rawRecord) {
	s.Count++
	at := raw.nanos
	s.earliest, s.latest = min(s.earliest, at), max(s.latest, at)
	s.types |= typeBit(raw.number)
}

func (s *spanMaker) bits(id uint16, value []byte) {
	if len(value) != 8 {
		return // reading refuses it
	}
	if id == 51 {
		s.Classes |= binary.LittleEndian.Uint64(value)
		return
	}
	s.Tags |= binary.LittleEndian.Uint64(value)
}

func (k *keyMaker) add(key uint64) {
	if k.any {
		return
	}
	if k.keys == nil {
		k.keys = map[uint64]struct{}{}
	}
	k.keys[key] = struct{}{}
	if len(k.keys) > k.most {
		k.spill()
	}
}

func (k *keyMaker) spill() { k.any, k.keys = true, nil }

func (k *keyMaker) encode(b []byte) []byte {
	if k.any {
		return binary.LittleEndian.AppendUint32(b, anyKey)
	}
	keys := make([]uint64, 0, len(k.keys))
	for key := range k.keys {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(keys)))
	for _, key := range keys {
		b = binary.LittleEndian.AppendUint64(b, key)
	}
	return b
}

func (s *spanMaker) encode(b []byte) []byte {
	earliest, latest := s.times()
	for _, v := range []uint64{
		uint64(s.At), uint64(s.Size), uint64(s.Stored), uint64(s.Length), s.First, s.Count,
		uint64(earliest), uint64(latest), s.types, s.Classes, s.Tags,
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return s.sessions.encode(s.principals.encode(b))
}

func (s *spanMaker) times() (earliest, latest int64) {
	if s.Count == 0 {
		return 0, 0
	}
	return s.earliest, s.latest
}

// finish ends the index: behind is the chain's value behind the segment, and file
// the whole container.
func (x *indexer) finish(end *seal, behind [32]byte, file io.Reader) (index []byte, label *Label, err error) {
	h := sha256.New()
	l := &x.label
	if l.Stored, err = io.Copy(h, file); err != nil {
		return nil, nil, err
	}
	h.Sum(l.Hash[:0])
	l.Behind, l.Why = behind, end.why
	l.First, l.Last = x.whole.First, end.last
	spans := x.whole.encode(nil)
	for i := range x.frames {
		spans = x.frames[i].encode(spans)
	}
	l.spansSize = uint32(len(spans))
	behindLabel := append(append(x.blobList(), x.earlier...), spans...)
	l.blobs, l.earlier = uint32(len(x.blobs)*sumSize), uint32(len(x.earlier))
	l.sums = crc32.Checksum(behindLabel, castagnoliReader)
	earliest, latest := x.whole.times()
	if x.whole.Count > 0 {
		l.Earliest, l.Latest = time.Unix(0, earliest).UTC(), time.Unix(0, latest).UTC()
	}
	return append(l.encode(earliest, latest), behindLabel...), l, nil
}

// The types that are of the journal itself, and keep no segment.
const (
	openedNumber     = 14
	checkpointNumber = 15
)

// blobList is the sums of all blobs that were named, in ascending order.
func (x *indexer) blobList() []byte {
	sums := make([][32]byte, 0, len(x.blobs))
	for sum := range x.blobs {
		sums = append(sums, sum)
	}
	slices.SortFunc(sums, compareSums)
	list := make([]byte, 0, len(sums)*sumSize)
	for _, sum := range sums {
		list = append(list, sum[:]...)
	}
	return list
}

func compareSums(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }

func (l *Label) encode(earliest, latest int64) []byte {
	b := make([]byte, labelSize)
	copy(b, indexMagic)
	u32 := func(at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
	u64 := func(at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
	u32(8, indexVersion)
	u32(12, labelSize)
	copy(b[16:], l.Stream[:])
	u64(32, l.Segment)
	u64(40, uint64(l.Size))
	u64(48, uint64(l.Stored))
	copy(b[56:], l.Hash[:])
	copy(b[88:], l.Before[:])
	copy(b[120:], l.Behind[:])
	u64(152, l.First)
	u64(160, l.Last)
	u64(168, uint64(earliest))
	u64(176, uint64(latest))
	u32(184, l.Why)
	u32(188, l.spansSize)
	u32(192, l.sums)
	u32(196, l.tiers)
	u32(200, l.blobs)
	u32(204, l.earlier)
	u32(252, crc32.Checksum(b[:252], castagnoliReader))
	return b
}
