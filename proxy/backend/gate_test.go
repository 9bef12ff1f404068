package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/handover"
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
		g := newGate(&server{r: under})
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
		g := newGate(&server{r: bytes.NewReader([]byte(head))})
		if _, err := g.Read(make([]byte, 64)); !errors.Is(err, errLoginMessage) {
			t.Errorf("%q: %v", head, err)
		}
	}
}

// pgconn may still be reading in the background when the log-in is over. What the
// server says next is not for it.
func TestGateHoldsReadersBackBehindReadyForQuery(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	g := newGate(near)
	ready := message('Z', "I")
	go func() { _, _ = far.Write(ready) }()
	if _, err := io.ReadFull(g, make([]byte, len(ready))); err != nil {
		t.Fatal(err)
	}
	background := make(chan error)
	go func() {
		_, err := g.Read(make([]byte, 64))
		background <- err
	}()
	next := message('1', "")
	go func() { _, _ = far.Write(next) }()
	got := make([]byte, len(next))
	if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, next) {
		t.Errorf("read %q (%v), want %q", got, err, next)
	}
	g.shut()
	if err := <-background; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the reader in the background ended with %v", err)
	}
}

// What pgconn asks behind a log-in, for target_session_attrs, is answered.
func TestGateOpensForARequest(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	g := newGate(near)
	ready := message('Z', "I")
	go func() {
		_, _ = far.Write(ready)
		_, _ = far.Read(make([]byte, 1))
		_, _ = far.Write(ready)
	}()
	got := make([]byte, len(ready))
	if _, err := io.ReadFull(g, got); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(g, got); err != nil || !bytes.Equal(got, ready) {
		t.Errorf("read %q: %v", got, err)
	}
}

// pieces is a connection that bytes come on in two pieces.
type pieces struct {
	net.Conn
	now, later []byte
}

func (p *pieces) Peek(b []byte) (int, error) {
	if len(p.now) == 0 {
		p.now, p.later = p.later, nil
	}
	if len(p.now) == 0 {
		return 0, io.EOF
	}
	return copy(b, p.now), nil
}

func (p *pieces) Read(b []byte) (int, error) {
	n, err := p.Peek(b)
	p.now = p.now[n:]
	return n, err
}

// TestGateReadsAhead: of messages that come at once, in any two pieces, and of one that is
// longer than what is looked at, the gate takes what stands before the ReadyForQuery's
// end and nothing behind it.
func TestGateReadsAhead(t *testing.T) {
	long := message('N', "SNOTICE\x00M"+strings.Repeat("long ", roomAhead)+"\x00\x00")
	login := bytes.Join([][]byte{message('R', "\x00\x00\x00\x00"), message('S', "Z\x00I\x00"), long, message('S', "a\x00b\x00"), message('Z', "I")}, nil)
	behind := message('A', "a notification that came at once")
	stream := slices.Concat(login, behind)
	check := func(what string, under net.Conn) {
		t.Helper()
		g, got := newGate(under), make([]byte, len(login))
		if _, err := io.ReadFull(g, got); err != nil || !bytes.Equal(got, login) || !g.done {
			t.Errorf("%s: pgconn read %q, %v", what, got, err)
		}
		if rest, err := io.ReadAll(under); err != nil || !bytes.Equal(rest, behind) {
			t.Errorf("%s: left %q, %v", what, rest, err)
		}
	}
	for cut := range len(stream) {
		check(fmt.Sprintf("cut at %d", cut), &pieces{now: stream[:cut:cut], later: stream[cut:]})
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	near, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write(stream); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	check("by a socket", handover.New(near))
}
