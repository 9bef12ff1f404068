package driver

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/proxy/handover"
)

// end is one of a session's two connections, while a loop has it.
type end struct {
	conn   *handover.Conn
	stream net.Conn // what the session is spoken over: conn, or TLS over it
	tls    bool
	key    key

	readable bool // the descriptor may have something, for edges are told once
	closing  bool // its peer has closed, or worse: it is read until it says so
	more     bool // there may be something that no descriptor tells of
	cipher   *[]byte
	watched  bool // room to send is waited for

	run     int  // bytes that it sent since the other end did
	reads   int  // that they took
	came    int  // of them, since it was last told whether to linger
	lingers bool // in loop.lingerers
	deaf    bool // epoll tells nothing of what it sends
}

func newEnd(conn *handover.Conn, stream net.Conn) end {
	// What crypto/tls has read already, no event will tell of.
	return end{conn: conn, stream: stream, tls: stream != net.Conn(conn), readable: true, more: true}
}

// events that are always waited for. Room to send is not: a Unix socket would tell
// with each message that its peer takes.
const alwaysWanted = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// noticed takes an event down.
func (e *end) noticed(events uint32) {
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.closing = true
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.readable = true
	}
}

// hasMore reports whether a read may bring something.
func (e *end) hasMore() bool { return e.readable || e.more }

// fill reads what has come, once, and most bytes of it. Nothing may have.
func (e *end) fill(buf *buffer, from *blocks, most int) error {
	if !buf.borrow(from) {
		return errNoMemory
	}
	if e.tls {
		return e.decrypt(buf, from, most)
	}
	n, err := e.receive(upTo(buf.room(), most))
	buf.grew(n)
	e.more = false
	return err
}

func upTo(room []byte, most int) []byte { return room[:min(len(room), most)] }

// receive reads from the descriptor. Less than there was room for is all there was,
// unless the end is near.
func (e *end) receive(room []byte) (n int, err error) {
	n, err = e.conn.Recv(room)
	e.readable = n == len(room) || n > 0 && e.closing
	return n, err
}

// decrypt reads what has come by way of crypto/tls: what the descriptor has is given
// to it as a whole, and then taken from it until it needs more.
func (e *end) decrypt(buf *buffer, from *blocks, most int) error {
	if e.conn.Ahead() == 0 && e.readable {
		e.cipher = from.obtain()
		n := e.conn.Receive(*e.cipher)
		e.readable = n == len(*e.cipher) || n > 0 && e.closing
	}
	err := e.take(buf, most)
	if e.conn.Ahead() == 0 && e.cipher != nil {
		from.release(e.cipher, 0) // nobody can read what was in it
		e.cipher = nil
	}
	return err
}

func (e *end) take(buf *buffer, most int) error {
	before := buf.len()
	for {
		room := upTo(buf.room(), before+most-buf.len())
		if len(room) == 0 {
			e.more = true
			return nil
		}
		n, err := e.stream.Read(room)
		buf.grew(n)
		switch {
		case err == nil:
		case errors.Is(err, handover.ErrAgain):
			e.more = false
			return nil
		case buf.len() > before:
			e.more = true // it will say so again
			return nil
		default:
			return err
		}
	}
}

// write sends the chunks in their order, as one, and keeps what is not taken.
func (e *end) write(chunks [][]byte) error {
	if !e.tls && len(chunks) == 1 {
		return e.conn.Send(chunks[0])
	}
	if err := write(e.stream, chunks); err != nil {
		return err
	}
	return e.conn.Flush()
}
