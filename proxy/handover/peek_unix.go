//go:build unix

package handover

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// Peek waits until something has come, and returns what fits into b without taking it
// off the socket. It may be called while calls block.
func (c *Conn) Peek(b []byte) (n int, err error) {
	socket, ok := c.inner.(syscall.Conn)
	if !ok || len(b) == 0 {
		return 0, c.opError("peek", syscall.EINVAL)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, failed = syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
			if !errors.Is(failed, syscall.EINTR) {
				return !errors.Is(failed, syscall.EAGAIN)
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, c.opError("peek", os.NewSyscallError("recvfrom", failed))
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
