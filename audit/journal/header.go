package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// segmentHeader is a segment's header as read (FORMAT.md, section 2).
type segmentHeader struct {
	version uint32
	size    int64
	number  uint64
	created time.Time
	stream  [16]byte
	boot    [16]byte
	node    string
	seed    uint32
	sealed  *sealedBlobs // of an encrypted segment that can be read; else nil

	begun  bool
	first  uint64 // sequence
	opened time.Time

	mark int64 // what had reached the disk

	start   [32]byte   // of the chain, in segment 1
	chained [1024]byte // what the chain covers
}

// sum is the CRC32C over the parts, one behind the other.
func sum(parts ...[]byte) uint32 { return sumFrom(0, parts) }

// sum is the CRC32C over stream id, segment number and the parts.
func (h *segmentHeader) sum(parts ...[]byte) uint32 { return sumFrom(h.seed, parts) }

func sumFrom(c uint32, parts [][]byte) uint32 {
	for _, p := range parts {
		c = crc32.Update(c, castagnoliReader, p)
	}
	return c
}

var castagnoliReader = crc32.MakeTable(crc32.Castagnoli)

func u64le(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// headerFault is what is wrong with a header, and where.
type headerFault struct {
	at     int64
	reason string
}

// maxSegment is more than a writer makes a segment, also for the largest record.
const maxSegment = 8 << 30

// parseHeader reads the 4096 bytes of a header.
func parseHeader(b []byte) (*segmentHeader, *headerFault) {
	if string(b[:8]) != "PGCUSTOS" {
		return nil, &headerFault{0, "not a segment of a journal"}
	}
	version := binary.LittleEndian.Uint32(b[8:])
	if version != 2 && version != 3 {
		return nil, &headerFault{8, fmt.Sprintf("format version %d, this program reads versions 2 and 3", version)}
	}
	if binary.LittleEndian.Uint32(b[508:]) != sum(b[:508]) {
		return nil, &headerFault{508, "the header's checksum is wrong"}
	}
	h := &segmentHeader{
		version: version,
		size:    int64(binary.LittleEndian.Uint64(b[16:])),
		number:  binary.LittleEndian.Uint64(b[24:]),
		created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[32:]))).UTC(),
	}
	copy(h.chained[:], b)
	copy(h.stream[:], b[48:64])
	copy(h.boot[:], b[64:80])
	n := int(binary.LittleEndian.Uint16(b[80:]))
	if binary.LittleEndian.Uint32(b[12:]) != 4096 || h.size < 4096 || h.size > maxSegment || n > 255 ||
		!allZero(b[40:48]) || !allZero(b[82+n:508]) {
		return nil, &headerFault{12, "the header holds what this program does not know"}
	}
	h.node = string(b[82 : 82+n])
	h.seed = sum(h.stream[:], u64le(h.number))
	if fault := h.parseBeginning(b); fault != nil {
		return nil, fault
	}
	return h, h.parseMark(b)
}

func (h *segmentHeader) parseBeginning(b []byte) *headerFault {
	switch binary.LittleEndian.Uint32(b[1020:]) {
	case 0:
		return nil
	case 1:
	default:
		return &headerFault{1020, "neither begun nor not begun"}
	}
	if binary.LittleEndian.Uint32(b[1016:]) != h.sum(b[512:1016]) {
		return &headerFault{1016, "the checksum of the segment's beginning is wrong"}
	}
	if h.number == 1 {
		copy(h.start[:], b[528:560])
	} else if !allZero(b[528:560]) {
		return &headerFault{528, "the header holds what this program does not know"}
	}
	if !allZero(b[560:1016]) {
		return &headerFault{560, "the header holds what this program does not know"}
	}
	h.begun = true
	h.first = binary.LittleEndian.Uint64(b[512:])
	h.opened = time.Unix(0, int64(binary.LittleEndian.Uint64(b[520:]))).UTC()
	return nil
}

func (h *segmentHeader) parseMark(b []byte) *headerFault {
	if !allZero(b[1032:4096]) {
		return &headerFault{1032, "the header holds what this program does not know"}
	}
	word := b[1024:1032]
	if bytes.Equal(word, make([]byte, 8)) {
		return nil
	}
	if binary.LittleEndian.Uint16(word[6:]) != uint16(h.sum(word[:6])) {
		return &headerFault{1024, "the sync mark is wrong"}
	}
	h.mark = int64(binary.LittleEndian.Uint64(word)&(1<<48-1)) * 8
	return nil
}

// safeName keeps what is harmless in the name of a directory.
func safeName(node string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, node)
}
