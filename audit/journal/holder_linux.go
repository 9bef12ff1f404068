package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// HeldError says that another process writes a stream.
type HeldError struct {
	Stream string // its directory
	PID    int    // of the process; 0: it cannot be told, in another container say
	Name   string // of its program
}

// Error implements error.
func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is being written by another process, which cannot be named from here (another container?): a stream has one writer; end that process, or give this one a journal.path of its own", e.Stream)
	}
	return fmt.Sprintf("%s is being written by process %d (%s): a stream has one writer; end that process (kill -TERM %d), or give this one a journal.path of its own", e.Stream, e.PID, e.Name, e.PID)
}

// Unwrap lets the error be asked for what the system said, and for what it means to who
// records.
func (e *HeldError) Unwrap() []error { return []error{unix.EWOULDBLOCK, audit.ErrBroken} }

// notHeld says whether the directory is free: it is not there, or nobody holds its lock.
func notHeld(dir string) error {
	lock, err := lockDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return heldBy(dir)
	case err != nil:
		return err
	}
	_ = lock.Close()
	return fmt.Errorf("%s: %w: a process that ended left it, and no other goes on with it", dir, fs.ErrExist)
}

// heldBy names the process that holds the lock of a directory.
func heldBy(dir string) error {
	e := &HeldError{Stream: dir}
	var stat unix.Stat_t
	if unix.Stat(dir, &stat) == nil {
		if e.PID = holderOf(stat.Dev, stat.Ino); e.PID > 0 {
			e.Name = programOf(e.PID)
		}
	}
	return e
}

// holderOf reads the list of locks for that of an inode: proc_locks(5).
func holderOf(dev, inode uint64) int {
	file, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer file.Close() //nolint:errcheck // it was only read
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), inode)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// 1: FLOCK ADVISORY WRITE 4711 fd:01:1234 0 EOF
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[3] != "WRITE" || f[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

// programOf is what a process is called.
func programOf(pid int) string {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return "ended since"
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(name)), "?")
}
