//go:build unix

package directory

import (
	"errors"
	"net"
	"syscall"
)

// alive reports whether a connection on which nothing is outstanding still stands: its
// other end has neither ended it nor said anything.
func (c *conn) alive() bool {
	if c.net.reader.Buffered() > 0 {
		return false
	}
	below := c.net.Conn
	if encrypted, is := below.(interface{ NetConn() net.Conn }); is {
		below = encrypted.NetConn()
	}
	socket, is := below.(syscall.Conn)
	if !is {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	})
	return err == nil && quiet
}
