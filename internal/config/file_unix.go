//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openFlags keep a FIFO in a file's place from holding the reader up.
const openFlags = syscall.O_NONBLOCK

// secretModes are the permission bits that a file with a secret may have.
const secretModes fs.FileMode = 0o640

func checkPrivate(name string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&^secretModes != 0 {
		return fmt.Errorf("%s holds a secret and has mode %04o: run chmod 0600 on it (0640 is the widest)", name, mode)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s holds a secret and belongs to uid %d: it has to belong to root or to uid %d, which runs pgcustos", name, stat.Uid, os.Geteuid())
	}
	return nil
}
