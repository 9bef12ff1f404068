package faults

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/internal/testkit/syscalls"
)

// failure is a kind of call, how it fails, and what a client may be told then.
type failure struct {
	fault syscalls.Fault
	// codes are what a client may be told; "" that its connection ended.
	codes []string
	// breaks says that the journal may take nothing more until the next start.
	breaks bool
	// few are those of the calls that fail where not all do.
	few []int
}

const (
	full   = "53100"
	broken = "58030"
)

// diskFailures are those of the journal's files, and of what is spooled there.
func diskFailures(files string) (all []failure) {
	for _, f := range []struct {
		call  int
		errno unix.Errno
		lasts bool
		few   []int
	}{
		{unix.SYS_OPENAT, unix.EMFILE, false, []int{9}},
		{unix.SYS_OPENAT, unix.ENOSPC, true, []int{3}},
		{unix.SYS_FALLOCATE, unix.ENOSPC, false, nil},
		{unix.SYS_FALLOCATE, unix.ENOSPC, true, []int{0}},
		{unix.SYS_PWRITE64, unix.ENOSPC, false, nil},
		{unix.SYS_PWRITE64, unix.ENOSPC, true, nil},
		{unix.SYS_PWRITE64, unix.EIO, false, []int{7}},
		{unix.SYS_PREAD64, unix.EIO, false, []int{2}},
		{unix.SYS_WRITE, unix.ENOSPC, false, nil},
		{unix.SYS_WRITE, unix.EIO, false, []int{1}},
		{unix.SYS_READ, unix.EIO, false, nil},
		{unix.SYS_MMAP, unix.ENOMEM, false, nil},
		{unix.SYS_MMAP, unix.ENOMEM, true, []int{0}},
		{unix.SYS_RENAMEAT, unix.EIO, false, []int{1}},
		{unix.SYS_RENAMEAT, unix.EIO, true, nil},
		{unix.SYS_UNLINKAT, unix.EIO, false, nil},
		{unix.SYS_GETDENTS64, unix.EIO, false, nil},
		{unix.SYS_FTRUNCATE, unix.EIO, false, nil},
		{unix.SYS_FSYNC, unix.EIO, false, nil},
		{unix.SYS_FDATASYNC, unix.EIO, false, []int{4}},
	} {
		codes := []string{broken}
		if f.errno == unix.ENOSPC {
			codes = []string{full}
		}
		all = append(all, failure{
			// The archive looks at the index of every segment that there is, each time: those
			// would be more with each story.
			fault:  syscalls.Fault{Call: f.call, On: files, Not: ".idx", Lasts: f.lasts, Errno: f.errno},
			codes:  codes,
			breaks: slices.Contains([]int{unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC}, f.call),
			few:    f.few,
		})
	}
	return all
}

// peerFailures are those of connections, and of parser workers: who calls is told, or
// the worker is killed when it calls.
func peerFailures() []failure {
	// 57014: whose connection is taken for lost has what runs cancelled, and hears of it
	// where the connection was none the less there.
	gone := []string{"", "08006", "08004", "57P03", "57014"}
	return []failure{
		{fault: syscalls.Fault{Call: unix.SYS_SOCKET, Errno: unix.EMFILE}, codes: gone, few: []int{0}},
		{fault: syscalls.Fault{Call: unix.SYS_CONNECT, Errno: unix.ECONNREFUSED}, codes: gone},
		{fault: syscalls.Fault{Call: unix.SYS_ACCEPT4, Errno: unix.EMFILE}, codes: gone, few: []int{0}},
		{fault: syscalls.Fault{Call: unix.SYS_EPOLL_CTL, On: "socket:", Errno: unix.ENOMEM}, codes: gone, few: []int{2}},
		{fault: syscalls.Fault{Call: unix.SYS_READ, On: "socket:", Errno: unix.ETIMEDOUT}, codes: gone},
		{fault: syscalls.Fault{Call: unix.SYS_WRITE, On: "socket:", Errno: unix.EPIPE}, codes: gone},
		{fault: syscalls.Fault{Call: unix.SYS_RECVFROM, On: "socket:", Errno: unix.ETIMEDOUT}, codes: gone, few: []int{9}},
		{fault: syscalls.Fault{Call: unix.SYS_SENDTO, On: "socket:", Errno: unix.EPIPE}, codes: gone, few: []int{9}},
		// What no worker judges is UNKNOWN, which the lab's rule allows: nobody is told.
		{fault: syscalls.Fault{Call: unix.SYS_READ, On: "pipe:", Child: true}, few: []int{1}},
		{fault: syscalls.Fault{Call: unix.SYS_WRITE, On: "pipe:", Child: true}, few: []int{2}},
		{fault: syscalls.Fault{Call: unix.SYS_READ, On: "pipe:", Errno: unix.EIO}},
		{fault: syscalls.Fault{Call: unix.SYS_WRITE, On: "pipe:", Errno: unix.EPIPE}},
	}
}

// deaths kill the proxy when it makes a call on the journal's files.
func deaths(files string) (all []failure) {
	for call, few := range map[int][]int{
		unix.SYS_OPENAT: nil, unix.SYS_FALLOCATE: nil, unix.SYS_MMAP: nil, unix.SYS_RENAMEAT: {2}, unix.SYS_UNLINKAT: nil,
		unix.SYS_FTRUNCATE: nil, unix.SYS_FSYNC: nil, unix.SYS_FDATASYNC: nil,
	} {
		all = append(all, failure{fault: syscalls.Fault{Call: call, On: files, Not: ".idx"}, codes: []string{""}, breaks: true, few: few})
	}
	return all
}
