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
	frames []spanMaker // up to the last that a record begins in
	met    map[int64]sessionTold
	memo   map[string]uint64 // keys of names met before

	// tier is asked for the bits of a record's backend; nil: nobody knows.
	tier    func(backend []byte) uint32
	blobs   map[[32]byte]struct{}
	earlier []byte
}

// sessionTold is what the fields of a session, by the offset of the record that has
// them, told in the frame that is filled.
type sessionTold struct {
	known bool   // whose it is
	tiers uint32 // of its backend
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

// newIndexer starts the index of the segment with that header, before its first
// record. before is the chain's value before the header.
func newIndexer(head *segmentHeader, before [32]byte) *indexer {
	x := &indexer{met: map[int64]sessionTold{}, memo: map[string]uint64{}, blobs: map[[32]byte]struct{}{}}
	x.label = Label{Stream: head.stream, Segment: head.number, Before: before}
	x.whole = newSpan(head.first, maxWholeKeys)
	return x
}

func newSpan(first uint64, most int) spanMaker {
	s := spanMaker{Span: Span{First: first}}
	s.earliest, s.latest = math.MaxInt64, math.MinInt64
	s.principals.most, s.sessions.most = most, most
	return s
}

// reach makes the spans of frames up to the number.
func (x *indexer) reach(number int) {
	for len(x.frames) <= number {
		x.frames = append(x.frames, newSpan(0, maxFrameKeys))
		clear(x.met)
	}
}

// add takes in the next record, which begins in the frame of that number. It keeps no
// reference to it.
func (x *indexer) add(raw *rawRecord, number int) {
	x.reach(number)
	f := &x.frames[number]
	if f.Count == 0 {
		f.First = raw.sequence
	}
	f.add(raw)
	x.whole.add(raw)
	told := sessionTold{tiers: tierNone}
	if raw.shared != 0 {
		met, ok := x.met[raw.shared]
		if !ok {
			x.fields(raw, f, raw.body[:raw.own], &met)
			x.met[raw.shared] = met
		}
		told = met
	}
	x.fields(raw, f, raw.body[raw.own:], &told)
	if x.tier != nil && raw.number != checkpointNumber && raw.number != openedNumber {
		x.label.tiers |= told.tiers
	}
	if raw.flags&1 != 0 && !told.known {
		// The session's fields did not fit: it may be anybody's.
		f.principals.spill()
		x.whole.principals.spill()
	}
}

// fields takes in fields of the record.
func (x *indexer) fields(raw *rawRecord, f *spanMaker, body []byte, told *sessionTold) {
	for len(body) >= 6 {
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
			told.known = true
			x.principal(f, value)
			if bare := bareName(value); id == 36 && len(bare) < len(value) {
				x.principal(f, bare)
			}
		case 16:
			if x.tier != nil {
				told.tiers = x.tier(value)
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

// ending is what stands at a segment's end, and the chain's value behind it.
type ending struct {
	seal   *seal
	behind [32]byte
}

// finish ends the index. file is the whole container, which has these frames.
func (x *indexer) finish(end ending, frames []frame, file io.Reader) (index []byte, label *Label, err error) {
	h := sha256.New()
	l := &x.label
	x.place(frames)
	if l.Stored, err = io.Copy(h, file); err != nil {
		return nil, nil, err
	}
	h.Sum(l.Hash[:0])
	l.Behind, l.Why = end.behind, end.seal.why
	l.First, l.Last = x.whole.First, end.seal.last
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

// place says where the frames are.
func (x *indexer) place(frames []frame) {
	x.reach(len(frames) - 1)
	x.whole.Size, x.whole.Length = 0, 0
	for i, at := range frames {
		f := &x.frames[i]
		f.At, f.Size, f.Stored, f.Length = at.at, at.size, at.stored, at.length
		x.whole.Size += at.size
		x.whole.Length += at.length
	}
	x.label.Size = x.whole.Size
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
