package directory

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sidText writes a binary SID as S-1-5-21-…: revision, count, a 48-bit authority
// in network order, and count sub-authorities in little-endian order
// (MS-DTYP section 2.4.2.2).
func sidText(b []byte) (string, error) {
	const head, most = 8, 15
	if len(b) < head || b[0] != 1 || b[1] > most || len(b) != head+4*int(b[1]) {
		return "", fmt.Errorf("not a SID: %d bytes", len(b))
	}
	var authority [8]byte
	copy(authority[2:], b[2:head])
	s := "S-1-" + strconv.FormatUint(binary.BigEndian.Uint64(authority[:]), 10)
	for rest := b[head:]; len(rest) > 0; rest = rest[4:] {
		s += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(rest)), 10)
	}
	return s, nil
}

// guidText writes a binary objectGUID as 8-4-4-4-12. The first three groups are
// little-endian numbers, the rest is bytes (MS-DTYP section 2.3.4.2).
func guidText(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("not a GUID: %d bytes", len(b))
	}
	mixed := [16]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}
	copy(mixed[8:], b[8:])
	text := make([]byte, 0, 36)
	for i, part := range [][]byte{mixed[:4], mixed[4:6], mixed[6:8], mixed[8:10], mixed[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text), nil
}

// guidBytes is the reverse of guidText.
func guidBytes(s string) ([]byte, error) {
	if err := checkGUID(s); err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		return nil, err
	}
	for _, part := range [][]byte{b[0:4], b[4:6], b[6:8]} {
		slices.Reverse(part)
	}
	return b, nil
}

// sidBytes is the reverse of sidText.
func sidBytes(s string) ([]byte, error) {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || len(parts) > 3+15 || parts[0] != "S" || parts[1] != "1" {
		return nil, fmt.Errorf("%q is not a SID", s)
	}
	authority, err := strconv.ParseUint(parts[2], 10, 48)
	if err != nil {
		return nil, fmt.Errorf("%q is not a SID: %w", s, err)
	}
	b := binary.BigEndian.AppendUint64(nil, authority)
	b[0], b[1] = 1, byte(len(parts)-3)
	for _, part := range parts[3:] {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a SID: %w", s, err)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b, nil
}

// checkGUID makes sure that s can stand in a DN of the form <GUID=…>.
func checkGUID(s string) error {
	bare := strings.ReplaceAll(s, "-", "")
	if _, err := hex.DecodeString(bare); err != nil || len(s) != 36 || len(bare) != 32 {
		return errors.New("not a GUID")
	}
	return nil
}

// escape makes a value harmless in a filter (RFC 4515 section 3): all but
// letters, digits and what host names are made of is written as \xx.
func escape[T string | []byte](value T) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '@' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
