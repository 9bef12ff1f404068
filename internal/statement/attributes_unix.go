//go:build unix && !linux

package statement

import "syscall"

// attributes put a worker into a session of its own, out of reach of the
// terminal's signals. It ends when its standard input is closed.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
