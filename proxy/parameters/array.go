package parameters

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
)

// maxDimensions is MAXDIM of PostgreSQL's c.h.
const maxDimensions = 6

// arrayReader reads an array in the binary format (array_send in arrayfuncs.c).
type arrayReader struct {
	b       []byte
	element uint32
	sizes   []int
	depth   int
	out     bytes.Buffer
	bad     bool
}

// decodeArray writes an array as PostgreSQL prints it.
func decodeArray(b []byte, depth int) ([]byte, bool) {
	a := &arrayReader{b: b, depth: depth}
	dimensions := a.int32()
	a.int32() // whether it holds NULLs
	a.element = uint32(a.int32())
	if a.bad || depth == 0 || dimensions < 0 || dimensions > maxDimensions {
		return nil, false
	}
	var lower strings.Builder
	plain := true
	for range dimensions {
		size, first := a.int32(), a.int32()
		if size < 1 || size > len(b) { // an array without elements has no dimensions
			return nil, false
		}
		a.sizes = append(a.sizes, size)
		plain = plain && first == 1
		lower.WriteString("[" + strconv.Itoa(first) + ":" + strconv.Itoa(first+size-1) + "]")
	}
	if dimensions == 0 {
		return []byte("{}"), len(a.b) == 0 && !a.bad
	}
	if !plain {
		a.out.WriteString(lower.String() + "=")
	}
	a.dimension(0)
	return a.out.Bytes(), !a.bad && len(a.b) == 0
}

// dimension writes one dimension, with those inside it.
func (a *arrayReader) dimension(n int) {
	a.out.WriteByte('{')
	for i := range a.sizes[n] {
		if a.bad {
			return
		}
		if i > 0 {
			a.out.WriteByte(',')
		}
		if n+1 < len(a.sizes) {
			a.dimension(n + 1)
		} else {
			a.value()
		}
	}
	a.out.WriteByte('}')
}

func (a *arrayReader) value() {
	size := a.int32()
	if size == -1 && !a.bad {
		a.out.WriteString("NULL")
		return
	}
	if a.bad || size < 0 || size > len(a.b) {
		a.bad = true
		return
	}
	text, ok := decodeBinary(a.element, a.b[:size], a.depth-1)
	if !ok {
		a.bad = true
		return
	}
	a.b = a.b[size:]
	quote(&a.out, text, `{},"\`+" \t\n\r\v\f")
}

// int32 reads a number. After the first that is missing all are 0.
func (a *arrayReader) int32() int {
	if len(a.b) < 4 {
		a.bad, a.b = true, nil
		return 0
	}
	n := int32(binary.BigEndian.Uint32(a.b))
	a.b = a.b[4:]
	return int(n)
}

// quote writes an element, between quotes where one of the bytes in it asks for
// them (array_out).
func quote(out *bytes.Buffer, text []byte, telling string) {
	if len(text) > 0 && !bytes.ContainsAny(text, telling) && !bytes.EqualFold(text, []byte("null")) {
		out.Write(text)
		return
	}
	out.WriteByte('"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			out.WriteByte('\\')
		}
		out.WriteByte(c)
	}
	out.WriteByte('"')
}

// The flags of a range in the binary format (rangetypes.h).
const (
	rangeEmpty          = 0x01
	rangeLowerInclusive = 0x02
	rangeUpperInclusive = 0x04
	rangeLowerInfinite  = 0x08
	rangeUpperInfinite  = 0x10
)

// decodeRange writes a range as PostgreSQL prints it (range_send in rangetypes.c).
func decodeRange(element uint32, b []byte, depth int) ([]byte, bool) {
	if len(b) == 0 || depth == 0 {
		return nil, false
	}
	flags := b[0]
	a := &arrayReader{b: b[1:]}
	if flags&rangeEmpty != 0 {
		return []byte("empty"), len(a.b) == 0
	}
	bound := func() {
		size := a.int32()
		if a.bad || size < 0 || size > len(a.b) {
			a.bad = true
			return
		}
		text, ok := decodeBinary(element, a.b[:size], depth-1)
		a.bad = !ok
		a.b = a.b[size:]
		quote(&a.out, text, `()[],"\`+" \t\n\r\v\f")
	}
	a.out.WriteByte("(["[flags&rangeLowerInclusive>>1])
	if flags&rangeLowerInfinite == 0 {
		bound()
	}
	a.out.WriteByte(',')
	if flags&rangeUpperInfinite == 0 && !a.bad {
		bound()
	}
	a.out.WriteByte(")]"[flags&rangeUpperInclusive>>2])
	return a.out.Bytes(), !a.bad && len(a.b) == 0
}
