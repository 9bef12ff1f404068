package parameters

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// shelf is a store that keeps blobs in memory.
type shelf struct {
	blobs [][]byte
	err   error
}

func (*shelf) Keyed() hash.Hash { return hmac.New(sha256.New, []byte("key")) }

func (s *shelf) Blob() (audit.BlobWriter, error) {
	if s.err != nil {
		return nil, s.err
	}
	return &shelved{shelf: s}, nil
}

type shelved struct {
	bytes.Buffer
	shelf *shelf
}

func (b *shelved) Commit() (audit.BlobRef, error) {
	b.shelf.blobs = append(b.shelf.blobs, bytes.Clone(b.Bytes()))
	return audit.BlobRef{Length: int64(b.Len())}, nil
}

func (*shelved) Discard() {}

// value is a parameter that a message is made of.
type value struct {
	oid    uint32
	format int
	bytes  []byte // nil is NULL
}

// tail makes a Bind's part behind the names, with a format for each value.
func tail(values ...value) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, uint16(v.format))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(values)))
	for _, v := range values {
		if v.bytes == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v.bytes)))
		b = append(b, v.bytes...)
	}
	return append(b, 0, 1, 0, 1)
}

func typesOf(values []value) []uint32 {
	var types []uint32
	for _, v := range values {
		types = append(types, v.oid)
	}
	return types
}

// read gives a reader the bytes in pieces.
func read(t testing.TB, r *Reader, full bool, b []byte, types []uint32, size int) *audit.Parameters {
	t.Helper()
	r.Begin(false, full, types)
	for len(b) > 0 {
		n := min(size, len(b))
		r.Write(append([]byte(nil), b[:n]...))
		b = b[n:]
	}
	p, err := r.End(false, true)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// spell writes values as a test reads them.
func spell(t testing.TB, b []byte) string {
	t.Helper()
	var out []string
	for len(b) > 0 {
		if len(b) < 13 {
			t.Fatalf("%d bytes are left over", len(b))
		}
		size := binary.LittleEndian.Uint64(b[5:])
		if size > uint64(len(b)-13) {
			t.Fatalf("a value of %d bytes, %d are there", size, len(b)-13)
		}
		text := fmt.Sprintf("%q", b[13:13+size])
		switch audit.ParameterKind(b[0]) {
		case audit.ParameterUndecoded:
			text = fmt.Sprintf("undecoded %d %s", binary.LittleEndian.Uint32(b[1:]), text)
		case audit.ParameterNull:
			text = "NULL"
		case audit.ParameterRedacted:
			text = "redacted"
		default:
		}
		out = append(out, text)
		b = b[13+size:]
	}
	return strings.Join(out, " ")
}

func TestValues(t *testing.T) {
	long := strings.Repeat("x", 20000)
	for name, test := range map[string]struct {
		values []value
		want   string
	}{
		"none":                    {nil, ""},
		"text":                    {[]value{{25, 0, []byte("a")}, {23, 0, []byte("42")}, {0, 0, []byte("?")}}, `"a" "42" "?"`},
		"NULL and empty":          {[]value{{25, 0, nil}, {25, 0, []byte{}}, {23, 1, nil}, {25, 1, []byte{}}}, `NULL "" NULL ""`},
		"binary":                  {[]value{{23, 1, []byte{0, 0, 0, 42}}, {25, 1, []byte("a")}, {17, 1, []byte{0, 255}}, {3802, 1, []byte("\x01{}")}}, `"42" "a" "\\x00ff" "{}"`},
		"binary, unknown":         {[]value{{0, 1, []byte{1}}, {99999, 1, []byte{2}}, {790, 1, []byte{3}}}, `undecoded 0 "\\x01" undecoded 99999 "\\x02" undecoded 790 "\\x03"`},
		"binary, wrong size":      {[]value{{23, 1, []byte{1}}, {3802, 1, []byte{2, '1'}}, {3802, 1, []byte{}}}, `undecoded 23 "\\x01" undecoded 3802 "\\x0231" undecoded 3802 "\\x"`},
		"not UTF-8, NUL":          {[]value{{25, 0, []byte("\xff\x00\x1b")}}, `"\xff\x00\x1b"`},
		"a connection string":     {[]value{{25, 0, []byte("host=db password=geheim")}, {25, 1, []byte("postgres://u:geheim@db")}, {17, 1, []byte("password='x'")}}, "redacted redacted redacted"},
		"a password's neighbour":  {[]value{{25, 0, []byte("password=geheim")}, {23, 0, []byte("1")}}, `redacted "1"`},
		"a number of 10^5 digits": {[]value{{1700, 1, []byte("\x00\x01\x7f\xff\x00\x00\x00\x00\x00\x01")}}, `undecoded 1700 "\\x00017fff000000000001"`},
		"array":                   {[]value{{1007, 1, []byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x17\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07\xff\xff\xff\xff")}}, `"{7,NULL}"`},
		"long text":               {[]value{{25, 0, []byte(long)}}, fmt.Sprintf("%q", long)},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{}
			r := New(Options{Store: s})
			p := read(t, r, true, tail(test.values...), typesOf(test.values), 1<<20)
			b := p.Values
			if len(s.blobs) > 0 {
				b = s.blobs[0]
			}
			if got := spell(t, b); p.Form != audit.ParametersFull || got != test.want || p.Count != len(test.values) {
				t.Errorf("%s, %d: %.300s\nwant %.300s", p.Form, p.Count, got, test.want)
			}
		})
	}
}

// The digest does not depend on the pieces, nor on whether values are kept; it does
// on each type, format and value.
func TestDigest(t *testing.T) {
	values := []value{{23, 1, []byte{0, 0, 0, 42}}, {25, 0, []byte("a")}, {25, 0, nil}, {25, 0, []byte{}}}
	r := New(Options{Store: &shelf{}})
	want := read(t, r, false, tail(values...), typesOf(values), 1<<20)
	h := (*shelf)(nil).Keyed()
	_, _ = h.Write([]byte("pgcustos parameters 1\n\x00\x04" +
		"\x00\x00\x00\x17\x00\x01\x00\x00\x00\x04\x00\x00\x00\x2a" + "\x00\x00\x00\x19\x00\x00\x00\x00\x00\x01a" +
		"\x00\x00\x00\x19\x00\x00\xff\xff\xff\xff" + "\x00\x00\x00\x19\x00\x00\x00\x00\x00\x00"))
	if !bytes.Equal(h.Sum(nil), want.Digest[:]) || want.Form != audit.ParametersDigest || want.Values != nil {
		t.Errorf("%+v", want)
	}
	for size := 1; size < 60; size++ {
		for _, full := range []bool{false, true} {
			if p := read(t, r, full, tail(values...), typesOf(values), size); p.Digest != want.Digest {
				t.Fatalf("in pieces of %d: another digest", size)
			}
		}
	}
	for i := range values {
		other := append([]value(nil), values...)
		for _, change := range []func(*value){
			func(v *value) { v.oid++ },
			func(v *value) { v.format = 1 - v.format },
			func(v *value) { v.bytes = append(bytes.Clone(v.bytes), 'x') },
		} {
			other[i] = values[i]
			change(&other[i])
			if p := read(t, r, false, tail(other...), typesOf(other), 7); p.Digest == want.Digest {
				t.Errorf("parameter %d: the same digest for %v", i, other[i])
			}
		}
	}
}

// One format stands for all values, none for text.
func TestFormats(t *testing.T) {
	r := New(Options{Store: &shelf{}})
	for b, want := range map[string]string{
		"\x00\x00\x00\x01\x00\x00\x00\x01a\x00\x00":                          `"a"`,
		"\x00\x01\x00\x01\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x01b\x00\x00": `undecoded 0 "\\x61" undecoded 0 "\\x62"`,
		"\x00\x00\x00\x00\x00\x00":                                           "",
		"\x00\x01\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01":                   "",
		"":                                 "malformed",
		"\x00":                             "malformed",
		"\x00\x00\x00\x00\x00\x00\x00":     "malformed",
		"\x00\x01\x00\x02\x00\x00\x00\x00": "malformed",
		"\x00\x02\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01a\x00\x00": "malformed",
		"\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00":                  "malformed",
		"\x00\x00\x00\x01\x00\x00\x00\x02a":                         "malformed",
		"\x00\x00\x00\x01\x00\x00\x00\x01a":                         "malformed",
		"\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00":                 "malformed",
	} {
		for size := 1; size <= len(b)+1; size++ {
			p := read(t, r, true, []byte(b), nil, size)
			got := string(p.Form)
			if p.Form == audit.ParametersFull {
				got = spell(t, p.Values)
			}
			if got != want || p.Form == audit.ParametersMalformed && p.Digest != [32]byte{} {
				t.Fatalf("%q in pieces of %d: %s, want %s", b, size, got, want)
			}
		}
	}
}

func TestCall(t *testing.T) {
	r := New(Options{Store: &shelf{}})
	b := []byte("\x00\x01\x00\x01\x00\x02\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x02ab\x00\x01")
	r.Begin(true, true, CallTypes(955))
	r.Write(b)
	if p, err := r.End(false, true); err != nil || spell(t, p.Values) != `"7" "\\x6162"` {
		t.Errorf("%+v, %v", p, err)
	}
	r.Begin(true, true, nil)
	r.Write(append(b, 0))
	if p, _ := r.End(false, true); p.Form != audit.ParametersMalformed {
		t.Errorf("%+v", p)
	}
}

// What is large goes to a blob, by way of a spool; nothing of it stays in memory.
func TestLarge(t *testing.T) {
	many := make([]value, 5000)
	for i := range many {
		many[i] = value{25, 0, []byte(strings.Repeat("v", 100))}
	}
	for name, values := range map[string][]value{
		"many":   many,
		"text":   {{25, 0, bytes.Repeat([]byte("äß"), 1<<20)}},
		"bytes":  {{17, 1, bytes.Repeat([]byte{1, 2}, 1<<20)}, {23, 0, []byte("1")}},
		"jsonb":  {{3802, 1, append([]byte{1}, bytes.Repeat([]byte(" "), 1<<20)...)}},
		"hidden": {{1007, 1, bytes.Repeat([]byte{7}, 1<<20)}},
	} {
		t.Run(name, func(t *testing.T) {
			var first string
			for _, size := range []int{1 << 30, 65536, 4093, 17} {
				s := &shelf{}
				r := New(Options{Store: s})
				p := read(t, r, true, tail(values...), typesOf(values), size)
				if p.Values != nil || len(s.blobs) != 1 || p.Blob.Length != int64(len(s.blobs[0])) {
					t.Fatalf("%d blobs, %d bytes inline", len(s.blobs), len(p.Values))
				}
				if cap(r.values.out) > audit.InlineText || cap(r.values.held) > 1<<17 && size <= 65536 {
					t.Errorf("in pieces of %d: %d and %d bytes are held", size, cap(r.values.out), cap(r.values.held))
				}
				told := spell(t, s.blobs[0])
				if first == "" {
					first = told
				}
				if told != first {
					t.Errorf("in pieces of %d it is another blob", size)
				}
			}
		})
	}
}

// A secret in a long value keeps all of it off the record, wherever it is cut.
func TestSecretInALongValue(t *testing.T) {
	b := tail(value{25, 0, []byte(strings.Repeat("x", 30000) + " host=db password=geheim " + strings.Repeat("y", 30000))})
	for _, size := range []int{1 << 20, 4096, 5, 1} {
		s := &shelf{}
		p := read(t, New(Options{Store: s}), true, b, nil, size)
		if p.Form != audit.ParametersRedacted || len(s.blobs) != 0 || p.Values != nil {
			t.Errorf("in pieces of %d: %s", size, p.Form)
		}
	}
}

func TestRedactAndBlobs(t *testing.T) {
	s := &shelf{}
	r := New(Options{Store: s})
	b := tail(value{25, 0, []byte("secret")})
	r.Begin(false, true, nil)
	r.Write(b)
	if p, err := r.End(true, true); err != nil || p.Form != audit.ParametersRedacted || p.Values != nil || p.Digest == [32]byte{} {
		t.Errorf("%+v, %v", p, err)
	}
	r.Begin(false, true, nil)
	r.Write(b)
	if p, err := r.End(false, false); err != nil || p.Values != nil || len(s.blobs) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	s.err = audit.ErrFull
	r.Begin(false, true, nil)
	r.Write(b)
	if _, err := r.End(false, false); !errors.Is(err, audit.ErrFull) {
		t.Errorf("%v", err)
	}
}

// broken is a spool on a disk that is full after some bytes.
type broken struct {
	room   int
	closed *int
}

func (b *broken) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}
func (*broken) Read([]byte) (int, error)       { return 0, io.EOF }
func (*broken) Seek(int64, int) (int64, error) { return 0, errors.New("input/output error") }
func (b *broken) Close() error                 { *b.closed++; return nil }

func TestSpoolFails(t *testing.T) {
	for _, room := range []int{0, 20000, 1 << 20} {
		closed := 0
		r := New(Options{Store: &shelf{}, Spool: func() (Spool, error) { return &broken{room, &closed}, nil }})
		r.Begin(false, true, nil)
		r.Write(tail(value{25, 0, bytes.Repeat([]byte("x"), 100000)}))
		if _, err := r.End(false, true); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("with room for %d: %v", room, err)
		}
		if closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	}
	full := New(Options{Store: &shelf{}, Spool: func() (Spool, error) { return nil, &os.PathError{Op: "write", Err: syscall.ENOSPC} }})
	full.Begin(false, true, nil)
	full.Write(tail(value{25, 0, bytes.Repeat([]byte("x"), 100000)}))
	if _, err := full.End(false, true); !errors.Is(err, audit.ErrFull) || errors.Is(err, audit.ErrBroken) {
		t.Errorf("a full disk: %v", err)
	}
	r := New(Options{Store: &shelf{}, Spool: func() (Spool, error) { return nil, errors.New("no") }})
	r.Begin(false, true, nil)
	r.Write(tail(value{25, 0, bytes.Repeat([]byte("x"), 100000)}))
	r.Close()
	if p := read(t, r, true, tail(value{25, 0, []byte("a")}), nil, 3); spell(t, p.Values) != `"a"` {
		t.Errorf("%+v", p)
	}
}

// FuzzReader: whatever the bytes and types, nothing panics, what is kept can be
// read back, and the digest does not depend on the pieces.
func FuzzReader(f *testing.F) {
	f.Add(tail(value{23, 1, []byte{0, 0, 0, 42}}, value{25, 0, nil}), uint32(23), uint32(1007), 3)
	f.Add(tail(value{1007, 1, []byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x17\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07")}), uint32(1007), uint32(0), 1)
	f.Add(tail(value{3904, 1, []byte("\x02\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x0a")}), uint32(3904), uint32(1700), 2)
	r := New(Options{Store: &shelf{}, Spool: func() (Spool, error) { return nil, errors.New("no room") }})
	f.Fuzz(func(t *testing.T, b []byte, one, two uint32, size int) {
		types := []uint32{one, two, one}
		whole := readAny(t, r, b, types, len(b)+1)
		pieces := readAny(t, r, b, types, 1+max(size, -size)%17)
		if whole.Form != pieces.Form || whole.Digest != pieces.Digest || whole.Count != pieces.Count || !bytes.Equal(whole.Values, pieces.Values) {
			t.Fatalf("whole %+v, in pieces %+v", whole, pieces)
		}
	})
}

func readAny(t *testing.T, r *Reader, b []byte, types []uint32, size int) audit.Parameters {
	t.Helper()
	r.Begin(false, true, types)
	for rest := b; len(rest) > 0; {
		n := min(max(1, size), len(rest))
		r.Write(rest[:n])
		rest = rest[n:]
	}
	p, err := r.End(false, true)
	if err != nil {
		return audit.Parameters{}
	}
	if p.Form == audit.ParametersFull {
		spell(t, p.Values)
	}
	return *p
}

func BenchmarkReader(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	blob := make([]byte, 1<<20)
	for i := range blob {
		blob[i] = byte(rng.Uint32())
	}
	for name, values := range map[string][]value{
		"three": {{23, 1, []byte{0, 0, 0, 42}}, {25, 1, []byte("a name of somebody")}, {1184, 1, []byte{0, 2, 0xa3, 0, 0, 0, 0, 1}}},
		"MB":    {{17, 1, blob}},
	} {
		for _, full := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s, full %v", name, full), func(b *testing.B) {
				in, types := tail(values...), typesOf(values)
				r := New(Options{Store: &shelf{}})
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					r.opt.Store = &shelf{}
					read(b, r, full, in, types, 1<<16)
				}
			})
		}
	}
}
