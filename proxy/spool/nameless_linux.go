package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes a file without a name (O_TMPFILE, open(2)); where the file system
// knows none, one whose name is taken away at once.
func nameless(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil {
		return f, nil
	}
	return unlinked(dir)
}
