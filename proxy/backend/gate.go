package backend

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// maxLoginMessage bounds a message of the log-in, and maxGreeting what is kept
// of them all for the client.
const (
	maxLoginMessage = 1 << 20
	maxGreeting     = 4 << 20
)

// errLoginMessage says that a server claims an impossible message.
var errLoginMessage = errors.New("a message of the log-in has an impossible length")

// gate is the connection that pgconn logs in over. It never reads beyond the
// message at hand, so that nothing behind the first ReadyForQuery is swallowed,
// and keeps the messages that the client is to see as the server sent them:
// parameters and notices.
//
// Behind a ReadyForQuery it holds every reader back until something is written:
// where a write takes long, pgconn begins to read in the background, and does not
// end that with the log-in. What came next would be lost to it.
type gate struct {
	net.Conn
	head  [pgwire.HeaderSize]byte
	n     int // bytes of head that have come
	given int // of those, how many were passed on
	left  int // bytes of the body that are still to come
	keep  bool
	done  bool // the first ReadyForQuery has come

	greeting []byte

	mu      sync.Mutex
	changed *sync.Cond
	resting bool // guarded by mu: a ReadyForQuery was given
	over    bool // guarded by mu: nothing more is given
}

func newGate(conn net.Conn) *gate {
	g := &gate{Conn: conn}
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
	n, err := g.Conn.Read(b[:min(len(b), g.left)])
	g.left -= n
	if g.keep {
		g.greeting = append(g.greeting, b[:n]...)
	}
	return n, err
}

// next reads the header of the next message.
func (g *gate) next() error {
	if err := g.await(); err != nil {
		return err
	}
	g.n, g.given, g.keep = 0, 0, false
	if _, err := io.ReadFull(g.Conn, g.head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(g.head[1:])
	if size < 4 || size > maxLoginMessage || len(g.greeting) > maxGreeting {
		return errLoginMessage
	}
	g.n, g.left = len(g.head), int(size)-4
	switch g.head[0] {
	case pgwire.ReadyForQuery:
		g.done = true
		g.rest()
	case pgwire.ParameterStatus, pgwire.NoticeResponse, pgwire.NotificationResponse:
		if g.keep = !g.done; g.keep {
			g.greeting = append(g.greeting, g.head[:]...)
		}
	}
	return nil
}
