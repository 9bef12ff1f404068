package syslog

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged returns how many bytes the other side's system has not taken
// (SIOCOUTQ, tcp(7)).
func unacknowledged(c net.Conn) (int, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	left := 0
	var asked error
	err = raw.Control(func(fd uintptr) { left, asked = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err == nil {
		err = asked
	}
	return left, err
}
