package parameters

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// asPostgres writes a value as PostgreSQL prints it, where pgtype has another way.
// pgtype has read b, so it has the size of its type.
func asPostgres(oid uint32, text string, b []byte) string {
	switch oid {
	case pgtype.Float4OID:
		return float(float64(math.Float32frombits(binary.BigEndian.Uint32(b))), 32, 6)
	case pgtype.Float8OID:
		return float(math.Float64frombits(binary.BigEndian.Uint64(b)), 64, 15)
	case pgtype.NumericOID:
		if scale := int(binary.BigEndian.Uint16(b[6:])); text == "0" && scale > 0 {
			return "0." + strings.Repeat("0", scale)
		}
	case pgtype.TimeOID:
		if clock, fraction, ok := strings.Cut(text, "."); ok {
			return strings.TrimSuffix(clock+"."+strings.TrimRight(fraction, "0"), ".")
		}
	case pgtype.TimestamptzOID:
		return strings.Replace(text, "Z", "+00", 1)
	case pgtype.IntervalOID:
		return interval(int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[8:])), int32(binary.BigEndian.Uint32(b[12:])))
	case pgtype.InetOID:
		if host, bits, ok := strings.Cut(text, "/"); ok && (bits == "32" && !strings.Contains(host, ":") || bits == "128") {
			return host
		}
	}
	return text
}

// float writes the shortest digits that mean the number, with an exponent from so
// many on (float8out_internal in float.c).
func float(v float64, size, exponent int) string {
	switch {
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	if a := math.Abs(v); v != 0 && (a < 1e-4 || a >= math.Pow10(exponent)) {
		return strconv.FormatFloat(v, 'e', -1, size)
	}
	return strconv.FormatFloat(v, 'f', -1, size)
}

// interval writes an interval in the style postgres (EncodeInterval in datetime.c).
func interval(micros int64, days, months int32) string {
	var out []string
	negative := false
	part := func(n int32, unit string) {
		if n == 0 {
			return
		}
		sign := ""
		if negative && n > 0 {
			sign = "+"
		}
		plural := "s"
		if n == 1 {
			plural = ""
		}
		out = append(out, fmt.Sprintf("%s%d %s%s", sign, n, unit, plural))
		negative = n < 0
	}
	part(months/12, "year")
	part(months%12, "mon")
	part(days, "day")
	if micros == 0 && len(out) > 0 {
		return strings.Join(out, " ")
	}
	sign := ""
	switch {
	case micros < 0:
		sign = "-"
	case negative:
		sign = "+"
	}
	rest := uint64(micros)
	if micros < 0 {
		rest = -rest
	}
	clock := fmt.Sprintf("%s%02d:%02d:%02d", sign, rest/3_600_000_000, rest/60_000_000%60, rest/1_000_000%60)
	if f := rest % 1_000_000; f != 0 {
		clock += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
	}
	return strings.Join(append(out, clock), " ")
}
