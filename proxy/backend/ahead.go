package backend

import (
	"encoding/binary"
	"io"
	"net"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// ahead reads the messages of a log-in as they have come, and not each by its header and
// its body: a server greets with fifteen of them at once. It takes nothing off the socket
// that stands behind a ReadyForQuery, for that is not the log-in's.
type ahead struct {
	net.Conn
	have []byte // taken, and not read yet
	room []byte
}

// peeker tells what has come without taking it. What has TLS is none, and needs none: it
// has what has come in memory.
type peeker interface {
	Peek(b []byte) (n int, err error)
}

// roomAhead is what the messages of a log-in take that come at once, in bytes.
const roomAhead = 1 << 10

// Read implements net.Conn.
func (a *ahead) Read(b []byte) (int, error) {
	if len(a.have) == 0 {
		return a.Conn.Read(b)
	}
	n := copy(b, a.have)
	a.have = a.have[n:]
	return n, nil
}

// fill is called where a message begins. What goes wrong shows when it is read.
func (a *ahead) fill() error {
	p, can := a.Conn.(peeker)
	if !can || len(a.have) > 0 {
		return nil
	}
	if a.room == nil {
		a.room = make([]byte, roomAhead)
	}
	n, err := p.Peek(a.room)
	if err != nil {
		return err
	}
	a.have = a.room[:upToReady(a.room[:n])]
	_, err = io.ReadFull(a.Conn, a.have)
	return err
}

// upToReady returns how much of b, which begins with a message, may be taken: all of it,
// or what ends with the first ReadyForQuery. Behind a length that cannot be, nothing is.
func upToReady(b []byte) int {
	for at := 0; len(b)-at >= pgwire.HeaderSize; {
		size := int64(binary.BigEndian.Uint32(b[at+1:]))
		end := int64(at) + 1 + size
		switch {
		case size < 4:
			return at + pgwire.HeaderSize
		case end >= int64(len(b)):
			return len(b)
		case b[at] == pgwire.ReadyForQuery:
			return int(end)
		}
		at = int(end)
	}
	return len(b)
}
