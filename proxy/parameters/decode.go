package parameters

import (
	"encoding/binary"
	"encoding/hex"
	"sync"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgcustos/pgcustos/audit"
)

// shape is how the bytes of a value become text.
type shape uint8

const (
	asHex   shape = iota // nobody knows better
	asText               // they are text
	asBytea              // they are bytes, and \x… is their text
	asJSONB              // text behind a byte for the version
	decoded              // by pgtype
	ranged
	arrayed
)

// charOID is the type "char", and unknownOID that of a literal that has none.
const charOID, unknownOID = 18, 705

// shapeOf tells how a value in the binary format is read.
func shapeOf(m *pgtype.Map, oid uint32) shape {
	switch oid {
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID, pgtype.JSONOID, pgtype.XMLOID, charOID, unknownOID:
		return asText
	case pgtype.ByteaOID:
		return asBytea
	case pgtype.JSONBOID:
		return asJSONB
	case pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.XIDOID, pgtype.CIDOID, pgtype.TIDOID,
		pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID, pgtype.DateOID, pgtype.TimeOID, pgtype.TimestampOID, pgtype.TimestamptzOID,
		pgtype.IntervalOID, pgtype.UUIDOID, pgtype.InetOID, pgtype.CIDROID, pgtype.MacaddrOID, pgtype.BitOID, pgtype.VarbitOID,
		pgtype.PointOID, pgtype.LsegOID, pgtype.BoxOID, pgtype.PathOID, pgtype.PolygonOID, pgtype.LineOID, pgtype.CircleOID:
		return decoded
	}
	t, ok := m.TypeForOID(oid)
	if !ok {
		return asHex
	}
	switch t.Codec.(type) {
	case *pgtype.ArrayCodec:
		return arrayed
	case *pgtype.RangeCodec:
		return ranged
	}
	return asHex
}

// streams tells how a value that is not held whole is read.
func streams(oid uint32, format byte) shape {
	if format == pgtype.TextFormatCode {
		return asText
	}
	m := maps.Get().(*pgtype.Map)
	defer maps.Put(m)
	if s := shapeOf(m, oid); s <= asJSONB {
		return s
	}
	return asHex
}

// maps holds pgtype.Maps: one must not be used by two at once, and keeps what it
// learnt about types.
var maps = sync.Pool{New: func() any { return pgtype.NewMap() }}

// decode returns a value's text. What cannot be told from the type and the bytes is
// \x… in hexadecimal, and undecoded.
func decode(oid uint32, format byte, b []byte) ([]byte, audit.ParameterKind) {
	if format == pgtype.TextFormatCode {
		return b, audit.ParameterText
	}
	if text, ok := decodeBinary(oid, b, maxNesting); ok {
		return text, audit.ParameterText
	}
	return appendHex(nil, b), audit.ParameterUndecoded
}

// maxNesting bounds values within values: an array's elements, a range's bounds.
const maxNesting = 3

func decodeBinary(oid uint32, b []byte, depth int) (text []byte, ok bool) {
	defer func() {
		if recover() != nil { // of a library that strangers' bytes are given to
			text, ok = nil, false
		}
	}()
	m := maps.Get().(*pgtype.Map)
	defer maps.Put(m)
	switch shapeOf(m, oid) {
	case asText:
		return b, true
	case asBytea:
		return appendHex(nil, b), true
	case asJSONB:
		if len(b) > 0 && b[0] == 1 {
			return b[1:], true
		}
	case decoded:
		return viaType(m, oid, b)
	case arrayed:
		return decodeArray(b, depth)
	case ranged:
		if t, ok := m.TypeForOID(oid); ok {
			return decodeRange(t.Codec.(*pgtype.RangeCodec).ElementType.OID, b, depth)
		}
	default:
	}
	return nil, false
}

// viaType has pgtype read the value and write it as text.
func viaType(m *pgtype.Map, oid uint32, b []byte) ([]byte, bool) {
	t, ok := m.TypeForOID(oid)
	if !ok || oid == pgtype.NumericOID && !modest(b) {
		return nil, false
	}
	v, err := t.Codec.DecodeValue(m, oid, pgtype.BinaryFormatCode, b)
	if err != nil || v == nil {
		return nil, false
	}
	text, err := m.Encode(oid, pgtype.TextFormatCode, v, nil)
	if err != nil {
		return nil, false
	}
	return []byte(asPostgres(oid, string(text), b)), true
}

// modest tells if a number is not much longer in text than in bytes: ten of them can
// mean a hundred thousand digits (numeric_send in numeric.c).
func modest(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	weight, scale := int(int16(binary.BigEndian.Uint16(b[2:]))), int(binary.BigEndian.Uint16(b[6:]))
	return weight >= -scale-1 && 4*max(weight+1, 0)+scale <= 8*len(b)+64
}

func appendHex(dst, b []byte) []byte { return hex.AppendEncode(append(dst, `\x`...), b) }
