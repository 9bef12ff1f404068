package handover

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach takes the connection from Go's poller and returns its descriptor, which
// does not block. Nobody else may use the connection by then. On an error it is as
// it was.
func (c *Conn) Detach(m *Memory) (fd int, err error) {
	sc, ok := c.inner.(syscall.Conn)
	if !ok {
		return 0, c.opError("detach", syscall.EINVAL)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	// Another descriptor of the same socket: closing the first takes it out of the
	// poller, and closes nothing else.
	dup := func(of uintptr) { c.fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }
	if ctlErr := raw.Control(dup); ctlErr != nil {
		return 0, ctlErr
	}
	if err != nil {
		return 0, c.opError("detach", os.NewSyscallError("fcntl", err))
	}
	_ = c.inner.Close()
	c.inner, c.memory = nil, m
	return c.fd, nil
}

// Lend has a detached connection that has nothing pending use the memory of another
// loop.
func (c *Conn) Lend(m *Memory) { c.memory = m }

// Attach gives the connection back to Go's poller: from now on its calls block. What
// was received and not read comes first, and what was not sent goes first.
func (c *Conn) Attach() {
	c.inner = &socket{File: os.NewFile(uintptr(c.fd), c.remote.String()), conn: c}
	c.memory = nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	if c.inner == nil {
		c.writeErr = net.ErrClosed
		return unix.Close(c.fd)
	}
	return c.inner.Close()
}

// Recv receives into b, without a detour. n is 0 without an error where nothing has
// come.
func (c *Conn) Recv(b []byte) (n int, err error) {
	if c.readErr != nil {
		return 0, c.readErr
	}
	n, err = recv(c.fd, b)
	if err != nil {
		c.readErr = c.ended("read", "recvfrom", err)
	}
	return n, c.readErr
}

// Receive receives into block, for Read to take. Ahead must be 0, and block must stay
// until it is again. What ends the stream is told by Read.
func (c *Conn) Receive(block []byte) (n int) {
	n, _ = c.Recv(block)
	c.ahead = block[:n]
	return n
}

// Send sends b without a detour. What the socket does not take is kept for Flush.
func (c *Conn) Send(b []byte) error {
	if c.writeErr != nil {
		return c.writeErr
	}
	if len(c.unsent) == 0 {
		n, err := send(c.fd, b)
		if err != nil {
			c.writeErr = c.ended("write", "sendto", err)
			return c.writeErr
		}
		b = b[n:]
	}
	if len(b) > 0 {
		_, _ = c.keep(b)
	}
	return nil
}

// Flush sends what was written. What the socket does not take is pending.
func (c *Conn) Flush() error {
	if c.writeErr != nil || len(c.unsent) == 0 {
		return c.writeErr
	}
	n, err := send(c.fd, c.unsent)
	if err != nil {
		c.writeErr = c.ended("write", "sendto", err)
		return c.writeErr
	}
	if c.unsent = c.unsent[n:]; len(c.unsent) == 0 {
		c.memory.release(c.block, c.used)
		c.unsent, c.block = nil, nil
	}
	return nil
}

func (c *Conn) ended(op, call string, err error) error {
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // it is what recv and send return, unwrapped
		return c.opError(op, os.NewSyscallError(call, errno))
	}
	return err
}

// socket is a descriptor that Go's poller has.
type socket struct {
	*os.File
	conn *Conn
}

// LocalAddr implements net.Conn.
func (s *socket) LocalAddr() net.Addr { return s.conn.local }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return s.conn.remote }

// CloseWrite sends the end of the stream.
func (s *socket) CloseWrite() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if ctlErr := raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); ctlErr != nil {
		return ctlErr
	}
	return err
}

// Descriptor is what Detach returned.
func (c *Conn) Descriptor() int { return c.fd }
