package backend

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// maxLoginMessage bounds a message of the log-in, and maxGreeting what is kept
// of them all for the client.
const (
	maxLoginMessage = 1 << 20
	maxGreeting     = 4 << 20
	maxQuestion     = 64 << 10 // of an AuthenticationRequest
)

// errLoginMessage says that a server claims an impossible message.
var errLoginMessage = errors.New("a message of the log-in has an impossible length")

// gate is the connection that pgconn logs in over. It never reads beyond the
// message at hand, so that nothing behind the first ReadyForQuery is swallowed,
// and keeps the messages that the client is to see as the server sent them:
// parameters and notices.
//
// Where the role has a password, it answers the server's questions for it and
// gives pgconn the AuthenticationOk alone: pgconn would derive the keys anew each
// time.
//
// Behind a ReadyForQuery it holds every reader back until something is written:
// where a write takes long, pgconn begins to read in the background, and does not
// end that with the log-in. What came next would be lost to it.
type gate struct {
	net.Conn
	ahead *ahead // reads the connection
	proof *proof // nil where a certificate is shown

	head  [pgwire.HeaderSize + 4]byte // of an AuthenticationRequest with its kind
	n     int                         // bytes of head that have come
	given int                         // of those, how many were passed on
	left  int                         // bytes of the body that are still to come
	keep  bool
	done  bool // the first ReadyForQuery has come

	greeting []byte

	mu      sync.Mutex
	changed *sync.Cond
	resting bool // guarded by mu: a ReadyForQuery was given
	over    bool // guarded by mu: nothing more is given
}

func newGate(conn net.Conn) *gate {
	g := &gate{Conn: conn, ahead: &ahead{Conn: conn}}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// Write implements net.Conn.
func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	g.resting = false
	g.mu.Unlock()
	g.changed.Broadcast()
	return g.Conn.Write(b)
}

// Close implements net.Conn.
func (g *gate) Close() error {
	g.shut()
	return g.Conn.Close()
}

// shut sends whoever reads through the gate away. The connection goes on.
func (g *gate) shut() {
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
	g.changed.Broadcast()
}

// await returns when the next message may be read.
func (g *gate) await() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.resting && !g.over {
		g.changed.Wait()
	}
	if g.over {
		return net.ErrClosed
	}
	return nil
}

func (g *gate) rest() {
	g.mu.Lock()
	g.resting = true
	g.mu.Unlock()
}

// Read implements net.Conn.
func (g *gate) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if g.left == 0 && g.given == g.n {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if g.given < g.n {
		n := copy(b, g.head[g.given:g.n])
		g.given += n
		return n, nil
	}
	n, err := g.ahead.Read(b[:min(len(b), g.left)])
	g.left -= n
	if g.keep {
		g.greeting = append(g.greeting, b[:n]...)
	}
	return n, err
}

// next reads the header of the next message that is pgconn's.
func (g *gate) next() error {
	for {
		if err := g.await(); err != nil {
			return err
		}
		if err := g.header(); err != nil {
			return err
		}
		if g.proof == nil || g.head[0] != pgwire.Authentication {
			return nil
		}
		if answered, err := g.authenticate(); err != nil || !answered {
			return err
		}
	}
}

func (g *gate) header() error {
	g.n, g.given, g.keep = 0, 0, false
	if err := g.ahead.fill(); err != nil {
		return err
	}
	if _, err := io.ReadFull(g.ahead, g.head[:pgwire.HeaderSize]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(g.head[1:])
	if size < 4 || size > maxLoginMessage || len(g.greeting) > maxGreeting {
		return errLoginMessage
	}
	g.n, g.left = pgwire.HeaderSize, int(size)-4
	switch g.head[0] {
	case pgwire.ReadyForQuery:
		g.done = true
		g.rest()
	case pgwire.ParameterStatus, pgwire.NoticeResponse, pgwire.NotificationResponse:
		if g.keep = !g.done; g.keep {
			g.greeting = append(g.greeting, g.head[:pgwire.HeaderSize]...)
		}
	}
	return nil
}

// authenticate answers an AuthenticationRequest whose header has been read. An
// AuthenticationOk behind a proof is left for pgconn.
func (g *gate) authenticate() (answered bool, err error) {
	if g.left < 4 || g.left > maxQuestion {
		return false, errLoginMessage
	}
	body := make([]byte, g.left)
	if _, err := io.ReadFull(g.ahead, body); err != nil {
		return false, err
	}
	g.left = 0
	if binary.BigEndian.Uint32(body) == pgproto3.AuthTypeOk {
		if !g.proof.proven || len(body) != 4 {
			return false, errNotAsked
		}
		g.n += copy(g.head[pgwire.HeaderSize:], body)
		return false, nil
	}
	g.n = 0
	answer, err := g.proof.answer(g.Conn, body)
	if err != nil || answer == nil {
		return true, err
	}
	_, err = g.Conn.Write(answer)
	return true, err
}
