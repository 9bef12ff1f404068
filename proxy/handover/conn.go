package handover

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection that can change hands. Until Detach, and after Attach, its
// calls block, and it may be used as any net.Conn. In between it belongs to one
// event loop, and nothing of it blocks: Read takes what Receive has brought, and
// Write keeps what Flush sends.
type Conn struct {
	inner         net.Conn // nil while it is detached
	local, remote net.Addr

	// Owned by who reads.
	ahead   []byte // received, and not read yet
	readErr error  // how the peer's stream ended

	// Owned by who writes: mu, or the loop.
	mu       sync.Mutex
	unsent   []byte
	block    []byte // the memory that unsent begins in
	used     int    // bytes of it that were written to
	writeErr error

	fd     int
	memory *Memory // of the loop; nil while the calls block
}

// New makes a connection that can be handed over of one that may be.
func New(c net.Conn) *Conn {
	return &Conn{inner: c, local: c.LocalAddr(), remote: c.RemoteAddr()}
}

// Of finds the Conn below a connection; nil where there is none.
func Of(c net.Conn) *Conn {
	for {
		switch under := c.(type) {
		case *Conn:
			return under
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		default:
			return nil
		}
	}
}

// ErrAgain says that nothing more has been received. It is temporary: crypto/tls
// goes on after it where it stood.
var ErrAgain net.Error = again{}

type again struct{}

// Error implements error.
func (again) Error() string { return "nothing more has come yet" }

// Timeout implements net.Error.
func (again) Timeout() bool { return false }

// Temporary implements net.Error.
func (again) Temporary() bool { return true }

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	switch {
	case len(c.ahead) > 0:
		n := copy(b, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	case c.readErr != nil:
		return 0, c.readErr
	case c.memory != nil:
		return 0, ErrAgain
	default:
		return c.inner.Read(b)
	}
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	if c.memory != nil {
		return c.keep(b)
	}
	if err := c.Settle(); err != nil {
		return 0, err
	}
	return c.inner.Write(b)
}

// Settle sends what a loop has left behind. It blocks.
func (c *Conn) Settle() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writeErr != nil || len(c.unsent) == 0 {
		return c.writeErr
	}
	n, err := c.inner.Write(c.unsent)
	c.unsent = c.unsent[n:]
	if len(c.unsent) == 0 {
		c.unsent, c.block = nil, nil
	}
	return err
}

// Ahead returns how many bytes were received and not read.
func (c *Conn) Ahead() int { return len(c.ahead) }

// Pending returns how many bytes were written and not sent.
func (c *Conn) Pending() int { return len(c.unsent) }

// keep takes what is to be sent with the next Flush.
func (c *Conn) keep(b []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	if c.unsent == nil {
		c.block = c.memory.obtain()
		c.unsent, c.used = c.block, 0
	}
	c.unsent = append(c.unsent, b...)
	c.used += len(b)
	return len(b), nil
}

// opError makes errors look as those of package net.
func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.remote.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn. It may be called from anywhere, at any time.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// CloseWrite sends the end of the stream behind what was written.
func (c *Conn) CloseWrite() error {
	if w, ok := c.inner.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return syscall.EINVAL
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if c.inner == nil {
		return errDetached
	}
	return c.inner.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.inner == nil {
		return errDetached
	}
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.inner == nil {
		return errDetached
	}
	return c.inner.SetWriteDeadline(t)
}
