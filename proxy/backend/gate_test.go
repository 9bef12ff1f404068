package backend

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// server is a connection that says what it was given.
type server struct {
	net.Conn
	r io.Reader
}

func (s *server) Read(b []byte) (int, error) { return s.r.Read(b) }

func message(typ byte, body string) []byte { return pgwire.AppendMessage(nil, typ, []byte(body)) }

// The gate gives what stands before the first ReadyForQuery and nothing behind
// it, however the bytes come, and keeps what is for the client.
func TestGateStopsBehindReadyForQuery(t *testing.T) {
	parameter, notice := message('S', "a\x00b\x00"), message('N', "SNOTICE\x00\x00")
	login := bytes.Join([][]byte{
		message('R', "\x00\x00\x00\x00"), parameter, notice, message('K', "12345678"), message('Z', "I"),
	}, nil)
	behind := message('A', "a notification that came at once")
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader,
	} {
		under := wrap(bytes.NewReader(append(append([]byte(nil), login...), behind...)))
		g := &gate{Conn: &server{r: under}}
		got := make([]byte, 0, len(login))
		for !g.done || len(got) < len(login) {
			b := make([]byte, 4096)
			n, err := g.Read(b)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, b[:n]...)
		}
		if !bytes.Equal(got, login) {
			t.Errorf("%s: pgconn read %q, want %q", name, got, login)
		}
		if want := append(append([]byte(nil), parameter...), notice...); !bytes.Equal(g.greeting, want) {
			t.Errorf("%s: kept %q, want %q", name, g.greeting, want)
		}
		if rest, err := io.ReadAll(under); err != nil || !bytes.Equal(rest, behind) {
			t.Errorf("%s: left %q, want %q", name, rest, behind)
		}
	}
}

func TestGateRefusesImpossibleLengths(t *testing.T) {
	for _, head := range []string{"E\x00\x00\x00\x03", "E\xff\xff\xff\xff", "N\x7f\xff\xff\xff"} {
		g := &gate{Conn: &server{r: bytes.NewReader([]byte(head))}}
		if _, err := g.Read(make([]byte, 64)); !errors.Is(err, errLoginMessage) {
			t.Errorf("%q: %v", head, err)
		}
	}
}
