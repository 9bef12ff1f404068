package syscalls

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Fault says which call fails, and how.
type Fault struct {
	Call int    // its number, unix.SYS_…, one of those that are watched
	On   string // what the name of its file begins with: a directory, "socket:", "pipe:"; "" for any
	Not  string // what it does not end with, if anything
	// Child counts the calls of the processes that the program starts, and not its own.
	Child bool
	At    int        // which of them; the first is 0
	Lasts bool       // all from then on, too
	Errno unix.Errno // what it is answered with; 0 kills the process that makes it
}

// String implements fmt.Stringer.
func (f Fault) String() string { return fmt.Sprintf("%s, call %d", f.Kind(), f.At) }

// Kind tells which calls are meant, and how they fail.
func (f Fault) Kind() string {
	out := known[f.Call].name
	if f.On != "" {
		out += " on " + filepath.Base(f.On)
	}
	if f.Child {
		out += " by a child"
	}
	if f.Errno == 0 {
		return out + ", killed"
	}
	if out += ", " + unix.ErrnoName(f.Errno); f.Lasts {
		out += " from then on"
	}
	return out
}

// subject is what a call is about.
type subject int

const (
	nothing    subject = iota
	descriptor         // in an argument
	path               // of which an argument is the address
)

// known are the calls that can be watched: their names, and which argument tells what
// they are about.
var known = map[int]struct {
	name     string
	about    subject
	argument int
}{
	unix.SYS_OPENAT:     {"openat", path, 1},
	unix.SYS_RENAMEAT:   {"renameat", path, 1},
	unix.SYS_UNLINKAT:   {"unlinkat", path, 1},
	unix.SYS_EXECVE:     {"execve", path, 0},
	unix.SYS_FALLOCATE:  {"fallocate", descriptor, 0},
	unix.SYS_FTRUNCATE:  {"ftruncate", descriptor, 0},
	unix.SYS_PREAD64:    {"pread64", descriptor, 0},
	unix.SYS_PWRITE64:   {"pwrite64", descriptor, 0},
	unix.SYS_READ:       {"read", descriptor, 0},
	unix.SYS_WRITE:      {"write", descriptor, 0},
	unix.SYS_FSYNC:      {"fsync", descriptor, 0},
	unix.SYS_FDATASYNC:  {"fdatasync", descriptor, 0},
	unix.SYS_MMAP:       {"mmap", descriptor, 4},
	unix.SYS_SOCKET:     {"socket", nothing, 0},
	unix.SYS_CONNECT:    {"connect", descriptor, 0},
	unix.SYS_ACCEPT4:    {"accept4", descriptor, 0},
	unix.SYS_SENDTO:     {"sendto", descriptor, 0},
	unix.SYS_RECVFROM:   {"recvfrom", descriptor, 0},
	unix.SYS_EPOLL_CTL:  {"epoll_ctl", descriptor, 2},
	unix.SYS_PIPE2:      {"pipe2", nothing, 0},
	unix.SYS_GETDENTS64: {"getdents64", descriptor, 0},
}

// counts says whether a call is one of those that the fault is about.
func (f *Fault) counts(c *call) bool {
	if c.number != f.Call || c.child() != f.Child {
		return false
	}
	if f.On == "" && f.Not == "" {
		return true
	}
	name := c.subject()
	return strings.HasPrefix(name, f.On) && (f.Not == "" || !strings.HasSuffix(name, f.Not))
}
