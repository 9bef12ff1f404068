package statement

import (
	"os"

	"golang.org/x/sys/unix"
)

// unread returns the bytes in a pipe that its reader has not read. FIONREAD, which
// is TIOCINQ, works on both ends (fs/pipe.c, pipe_ioctl). 0 where it cannot tell.
func unread(pipe *os.File) int {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	if err := conn.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ); err != nil {
			n = 0
		}
	}); err != nil {
		return 0
	}
	return n
}
