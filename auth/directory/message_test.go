package directory

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// TestMessages reads what the library writes, and that cut at each byte; and the library
// reads what is written here.
func TestMessages(t *testing.T) {
	raw := entryBytes(1<<20, account())
	for cut := range raw {
		if _, _, _, err := readMessage(bytes.NewReader(raw[:cut]), mostBytes); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v", cut, len(raw), err)
		}
	}
	r := bytes.NewReader(append(raw, "what follows"...))
	id, op, content, err := readMessage(r, int64(len(raw)))
	must(t, err)
	if id != 1<<20 || op != opSearchEntry || r.Len() != len("what follows") {
		t.Errorf("message %d is %#x, and %d bytes are left", id, op, r.Len())
	}
	got, err := readEntry(content)
	must(t, err)
	for _, a := range account().Attributes {
		if len(got.all(a.Name)) != len(a.ByteValues) || !bytes.Equal(got.raw(a.Name), a.ByteValues[0]) {
			t.Errorf("%s is %q", a.Name, got.all(a.Name))
		}
	}
	for cut := range content {
		if _, err := readEntry(content[:cut]); err == nil {
			t.Fatalf("an entry is read of %d of %d bytes", cut, len(content))
		}
	}
	if _, _, _, err := readMessage(bytes.NewReader(raw), int64(len(raw))-10); !errors.Is(err, errTooLong) {
		t.Errorf("too long: %v", err)
	}
	for _, n := range []int32{0, 1, 127, 128, 255, 256, 32767, 32768, 1<<23 - 1, 1 << 23, math.MaxInt32} {
		b := number(nil, tagInteger, n)
		if got := ber.DecodePacket(b).Value; got != int64(n) || len(b) > 3 && b[2] == 0 && b[3] < 0x80 {
			t.Errorf("%d is written as %x, read as %v", n, b, got)
		}
		if got, rest, err := readNumber(b, tagInteger); err != nil || got != n || len(rest) > 0 {
			t.Errorf("%x is read as %d, %v", b, got, err)
		}
	}
}

// TestResults: only success is success.
func TestResults(t *testing.T) {
	for code := range uint16(300) {
		m := ber.DecodePacket(result(1, ldap.ApplicationBindResponse, code, "data 52e")).Children[1]
		err := readResult(m.Data.Bytes())
		var answer *ldap.Error
		switch {
		case code == 0 && err != nil, code > 0 && err == nil:
			t.Errorf("result %d: %v", code, err)
		case code > 0 && code < ldap.ErrorNetwork && (!errors.As(err, &answer) || answer.ResultCode != code || answer.Err.Error() != "data 52e"):
			t.Errorf("result %d: %v", code, err)
		}
	}
	for _, nonsense := range []string{"", "\x0a\x01\x00", "\x0a\x01\x00\x04\x00", "\x0a\x00\x04\x00\x04\x00", "\x02\x01\x00\x04\x00\x04\x00", "\x0a\x05\x00\x00\x00\x00\x00\x04\x00\x04\x00", "\x0a\x01\x80\x04\x00\x04\x00"} {
		if err := readResult([]byte(nonsense)); err == nil {
			t.Errorf("%q is success", nonsense)
		}
	}
}
