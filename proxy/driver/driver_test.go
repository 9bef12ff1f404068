package driver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nothing is a recorder that keeps nothing. What is recorded is the relay's test.
type nothing struct{ seq atomic.Uint64 }

func (*nothing) Prepare(*audit.Context) *audit.Prepared    { return nil }
func (*nothing) Release(int)                               {}
func (*nothing) Wait(context.Context, audit.Receipt) error { return nil }
func (*nothing) Keyed() hash.Hash                          { return sha256.New() }
func (*nothing) Blob() (audit.BlobWriter, error)           { return nil, audit.ErrBroken }
func (n *nothing) Record(*audit.Event) (audit.Receipt, error) {
	return audit.Receipt{Sequence: n.seq.Add(1)}, nil
}

// reads is a judge to whom every text is a SELECT.
type reads struct{}

var selects = &statement.Judgement{
	Class:      statement.Read,
	Statements: []statement.Statement{{Command: "SELECT", Class: statement.Read}},
}

func (reads) Cached([]byte, statement.Encoding) (*statement.Judgement, bool) { return selects, true }

func (reads) Judge(context.Context, []byte, statement.Encoding) *statement.Judgement {
	return selects
}

const incident = "0123456789abcdef"

// ends are a session's two peers, in the test's hands, and the driver between.
type ends struct {
	client, backend *net.TCPConn
	relay           *Relay
	cancelled       atomic.Int32
	cause           chan Cause
}

func (d kind) start(tb testing.TB) *ends {
	tb.Helper()
	return d.startWith(tb, func(*relay.Options, *Options) {})
}

// startWith is start with other options.
func (d kind) startWith(tb testing.TB, change func(*relay.Options, *Options)) *ends {
	tb.Helper()
	clientOut, clientIn := tcpPair(tb)
	backendOut, backendIn := tcpPair(tb)
	e := &ends{client: clientOut, backend: backendOut, cause: make(chan Cause, 1)}
	machine := relay.Options{
		Judge: reads{}, Recorder: &nothing{}, Grant: &auth.Grant{Classes: statement.Read, Mode: auth.Enforce},
		MaxMessage: 1 << 20, Parameters: map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"},
		Incident: func() string { return incident },
	}
	began := time.Now()
	options := Options{
		Client: clientIn, Backend: backendIn, Judge: reads{}, Recorder: &nothing{},
		Cancel:          func(context.Context) error { e.cancelled.Add(1); return nil },
		Now:             func() int64 { return int64(time.Since(began)) },
		ClientGoneGrace: 50 * time.Millisecond, MaxMessage: 1 << 20,
		Incident: func() string { return incident },
	}
	change(&machine, &options)
	options.Machine = relay.New(machine)
	e.relay = d.make(options)
	go e.relay.Start(func(finish func() (Cause, error)) {
		cause, _ := finish()
		e.cause <- cause
	})
	tb.Cleanup(func() {
		_ = e.client.Close()
		_ = e.backend.Close()
		select {
		case <-e.cause:
		case <-time.After(10 * time.Second):
			tb.Error("the driver does not end")
		}
	})
	return e
}

func tcpPair(tb testing.TB) (a, b *net.TCPConn) {
	tb.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	s, err := l.AcceptTCP()
	if err != nil {
		tb.Fatal(err)
	}
	return c.(*net.TCPConn), s
}

// ended waits for the end, and checks its cause.
func (e *ends) ended(t *testing.T, want Cause) {
	t.Helper()
	select {
	case got := <-e.cause:
		e.cause <- got
		if got != want {
			t.Errorf("ended by %s, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the session does not end")
	}
}

func send(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, c net.Conn, n int) []byte {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func rest(t *testing.T, c net.Conn) []byte {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection stays open")
	}
	return b
}

var (
	query     = pgwire.AppendMessage(nil, pgwire.Query, []byte("SELECT 1\x00"))
	terminate = []byte{pgwire.Terminate, 0, 0, 0, 4}
	row       = pgwire.AppendMessage(nil, pgwire.DataRow, []byte("\x00\x01\x00\x00\x00\x01x"))
	answer    = bytes.Join([][]byte{
		row, pgwire.AppendMessage(nil, pgwire.CommandComplete, []byte("SELECT 1\x00")), pgwire.AppendMessage(nil, pgwire.ReadyForQuery, []byte("I")),
	}, nil)
)

func TestClientLeavesWithNothingOutstanding(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			_ = e.client.Close()
			if got := rest(t, e.backend); !bytes.Equal(got, terminate) {
				t.Errorf("the backend got %q", got)
			}
			_ = e.backend.Close()
			e.ended(t, ClientClosed)
			if n := e.cancelled.Load(); n != 0 {
				t.Errorf("%d cancels", n)
			}
		})
	}
}

func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.client, query)
			_ = e.client.CloseWrite()
			if got := rest(t, e.backend); !bytes.Equal(got, query) {
				t.Errorf("the backend got %q", got)
			}
			send(t, e.backend, answer)
			_ = e.backend.Close()
			if got := rest(t, e.client); !bytes.Equal(got, answer) {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, ClientClosed)
		})
	}
}

func TestStatementOfAClientThatLeftIsCancelled(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.client, query)
			receive(t, e.backend, len(query))
			_ = e.client.Close()
			e.ended(t, ClientClosed)
			if n := e.cancelled.Load(); n != 1 {
				t.Errorf("%d cancels", n)
			}
		})
	}
}

func TestQueryAndGoodbyeInOneWrite(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.client, append(append([]byte(nil), query...), terminate...))
			receive(t, e.backend, len(query)+len(terminate))
			send(t, e.backend, answer)
			_ = e.backend.Close()
			if got := rest(t, e.client); !bytes.Equal(got, answer) {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, ClientTerminated)
		})
	}
}

func TestBackendThatGoesAwayWithoutAWord(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.client, query)
			receive(t, e.backend, len(query))
			_ = e.backend.Close()
			got := rest(t, e.client)
			f := pgwire.ReadFields(got[min(len(got), pgwire.HeaderSize):])
			if string(f.Code) != pgwire.ConnectionFailure || !bytes.Contains(got, []byte(incident)) {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, BackendLost)
			if e.relay.Incident() != incident {
				t.Errorf("the end has incident %q", e.relay.Incident())
			}
		})
	}
}

func TestBackendThatSaysWhyIsNotSpokenFor(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			fatal := (&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "bye"}).Append(nil)
			send(t, e.backend, fatal)
			_ = e.backend.Close()
			if got := rest(t, e.client); !bytes.Equal(got, fatal) {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, BackendClosed)
		})
	}
}

func TestEndTellsTheClientAndCancels(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.client, query)
			receive(t, e.backend, len(query))
			e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "revoked"})
			got := rest(t, e.client)
			if f := pgwire.ReadFields(got[min(len(got), pgwire.HeaderSize):]); string(f.Code) != pgwire.AdminShutdown {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, Ended)
			if n := e.cancelled.Load(); n != 1 {
				t.Errorf("%d cancels", n)
			}
		})
	}
}

// What stands behind a statement that is cancelled does not run either: the backend
// cannot say what became of it.
func TestEndStopsWhatIsQueued(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.client, bytes.Repeat(query, 3))
			receive(t, e.backend, 3*len(query))
			e.relay.End(nil)
			e.ended(t, Ended)
			if n := e.cancelled.Load(); n != 1+lastCancels {
				t.Errorf("%d cancels", n)
			}
			if _, err := e.backend.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the backend's connection ended with %v", err)
			}
		})
	}
}

// In the middle of a message there is no place for another.
func TestEndInTheMiddleOfAMessageSaysNothing(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			send(t, e.backend, row[:7])
			receive(t, e.client, 7)
			e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "revoked"})
			if got := rest(t, e.client); len(got) != 0 {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, Ended)
		})
	}
}

// A client that does not read and a backend that goes on sending: the session
// can be ended all the same.
func TestEndOfASlowReader(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			go func() {
				for {
					if _, err := e.backend.Write(bytes.Repeat(row, 1000)); err != nil {
						return
					}
				}
			}()
			e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "revoked"})
			e.ended(t, Ended)
		})
	}
}

// A pipeline that is longer than the queue: the client is held back, and goes on.
func TestLongPipeline(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			const n = 10_000
			go func() {
				for range n / 100 {
					if _, err := e.client.Write(bytes.Repeat(query, 100)); err != nil {
						return
					}
				}
			}()
			go func() {
				b := make([]byte, len(query))
				for range n {
					if _, err := io.ReadFull(e.backend, b); err != nil {
						return
					}
					if _, err := e.backend.Write(answer); err != nil {
						return
					}
				}
			}()
			for range n {
				if got := receive(t, e.client, len(answer)); !bytes.Equal(got, answer) {
					t.Fatalf("the client got %q", got)
				}
			}
		})
	}
}

func TestBufferGrowsAndShrinks(t *testing.T) {
	var b buffer
	defer b.free()
	sizes := func(n int) int {
		r, w := net.Pipe()
		defer r.Close()
		go func() { _, _ = w.Write(make([]byte, n)); _ = w.Close() }()
		for got := 0; got < n; {
			before := b.len()
			if err := b.fill(r); err != nil {
				t.Fatal(err)
			}
			got += b.len() - before
		}
		return len(*b.mem)
	}
	if got := sizes(100); got != smallBuffer {
		t.Errorf("%d bytes for a small message", got)
	}
	b.take(b.len())
	if got := sizes(1 << 20); got < 1<<20 {
		t.Errorf("%d bytes for what is to be there whole", got)
	}
	b.take(b.len())
	sizes(10)
	b.take(b.len())
	if got := sizes(10); got != smallBuffer {
		t.Errorf("%d bytes after the rush", got)
	}
}

// BenchmarkBulk sees a driver that does not keep its large buffer.
func BenchmarkBulk(b *testing.B) {
	for _, d := range kinds(b) {
		b.Run(d.name, func(b *testing.B) { benchmarkBulk(b, d) })
	}
}

func benchmarkBulk(b *testing.B, d kind) {
	b.Helper()
	e := d.start(b)
	const rows = 1000
	result := append(bytes.Repeat(row, rows), answer[len(row):]...)
	go func() {
		q := make([]byte, len(query))
		for {
			if _, err := io.ReadFull(e.backend, q); err != nil {
				return
			}
			if _, err := e.backend.Write(result); err != nil {
				return
			}
		}
	}()
	b.SetBytes(int64(len(result)))
	b.ReportAllocs()
	for b.Loop() {
		send(b, e.client, query)
		receive(b, e.client, len(result))
	}
}

// Work behind a Sync that a failed COPY may have swallowed: the client hears why
// the session ends.
func TestAdriftIsTold(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			copies := bytes.Join([][]byte{
				pgwire.AppendMessage(nil, pgwire.Parse, []byte("\x00COPY t FROM STDIN\x00\x00\x00")),
				pgwire.AppendMessage(nil, pgwire.Bind, make([]byte, 8)),
				pgwire.AppendMessage(nil, pgwire.Execute, make([]byte, 5)),
			}, nil)
			send(t, e.client, copies)
			receive(t, e.backend, len(copies))
			reading := bytes.Join([][]byte{
				pgwire.AppendMessage(nil, pgwire.ParseComplete), pgwire.AppendMessage(nil, pgwire.BindComplete),
				pgwire.AppendMessage(nil, pgwire.CopyInResponse, make([]byte, 3)),
			}, nil)
			send(t, e.backend, reading)
			receive(t, e.client, len(reading))
			data := append(pgwire.AppendMessage(nil, pgwire.CopyData, []byte("x\n")), pgwire.AppendMessage(nil, pgwire.Sync)...)
			send(t, e.client, data)
			receive(t, e.backend, len(data))
			refused := (&pgwire.Error{Severity: pgwire.SeverityError, Code: "22P02", Message: "bad input"}).Append(nil)
			send(t, e.backend, refused)
			receive(t, e.client, len(refused))
			send(t, e.client, query)
			got := rest(t, e.client)
			if f := pgwire.ReadFields(got[min(len(got), pgwire.HeaderSize):]); string(f.Code) != pgwire.ProtocolViolation {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, ClientFraming)
		})
	}
}

// A header that is none goes to the backend, which ends the session: that it may be
// noticed first changes nothing about who began.
func TestBadHeaderIsTheBackendsToRefuse(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e := d.start(t)
			bad := []byte{pgwire.Query, 0, 0, 0, 3}
			send(t, e.client, append(bad[:5:5], query...))
			if got := receive(t, e.backend, len(bad)); !bytes.Equal(got, bad) {
				t.Errorf("the backend got %q", got)
			}
			_ = e.backend.Close()
			if got := rest(t, e.client); len(got) > 0 {
				t.Errorf("the client got %q", got)
			}
			e.ended(t, ClientFraming)
		})
	}
}
