package handover

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// HungUp tells what the peer has done, without reading: closed, that nothing comes
// behind what has; broken, that the connection is no more. It may be called from
// anywhere while calls block.
func (c *Conn) HungUp() (closed, broken bool) {
	c.control(func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
			return
		}
		broken = fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		closed = broken || fds[0].Revents&unix.POLLRDHUP != 0
	})
	return closed, broken
}

// Abort closes the connection so that its peer's next word to it fails.
func (c *Conn) Abort() {
	c.control(func(fd int) {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	_ = c.Close()
}

// control calls do with the descriptor, where it is open.
func (c *Conn) control(do func(fd int)) {
	socket, ok := c.inner.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}
