package statement

import "syscall"

// attributes put a worker into a session of its own, out of reach of the
// terminal's signals, and end it with the thread that started it. (It also ends
// by itself when its standard input is closed.)
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
