//go:build !unix

package statement

import "syscall"

// attributes of a worker: it ends when its standard input is closed.
func attributes() *syscall.SysProcAttr { return nil }
