package driver

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// says is a connection that gives its bytes a TLS record at a time.
type says struct {
	net.Conn
	r io.Reader
}

func (s *says) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), 16<<10)]) }

// A message that has to be there whole costs as often a new buffer as its size
// doubles, not at each read: a session that sends 64 MiB must not copy terabytes.
func TestBufferGrowsByDoubling(t *testing.T) {
	const size = 8 << 20
	in := bytes.Repeat([]byte("x"), size)
	var b buffer
	defer b.free()
	conn, grown := &says{r: bytes.NewReader(in)}, 0
	for b.len() < size {
		was := b.mem
		b.want(size)
		if err := b.fill(conn); err != nil {
			t.Fatal(err)
		}
		if b.mem != was {
			grown++
		}
	}
	if grown > 12 {
		t.Errorf("%d buffers for %d bytes", grown, size)
	}
	if !bytes.Equal(b.bytes(), in) {
		t.Error("the bytes changed")
	}
	b.take(size)
	b.fit()
	if len(*b.mem) > largeBuffer {
		t.Errorf("an empty buffer keeps %d bytes", len(*b.mem))
	}
}
