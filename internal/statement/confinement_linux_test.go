package statement_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// computing are the system calls that a worker has: those of a computation, which
// reach nothing that is not open, and exit.
var computing = append([]int{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_PIPE2, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_FCNTL, unix.SYS_EPOLL_PWAIT,
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}, older...)

// depending are those that it has with some arguments only.
var depending = map[int][][3]uintptr{
	unix.SYS_CLONE:    {{uintptr(syscall.SIGCHLD)}, {unix.CLONE_VM | uintptr(syscall.SIGCHLD)}, {unix.CLONE_NEWUSER}},
	unix.SYS_CLONE3:   {{}},
	unix.SYS_MMAP:     {{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, {0, 4096, unix.PROT_EXEC}},
	unix.SYS_MPROTECT: {{0, 4096, unix.PROT_READ | unix.PROT_EXEC}},
	unix.SYS_KILL:     {{1}, {^uintptr(0)}, {0}},
	unix.SYS_TGKILL:   {{1, 1}},
}

// lastCall is beyond every system call that there is.
const lastCall = 600

// refused tells which of the system calls that a worker is to be without are not
// refused.
func refused() string {
	var out []string
	try := func(number int, arguments [3]uintptr) {
		_, _, errno := syscall.RawSyscall(uintptr(number), arguments[0], arguments[1], arguments[2])
		if errno != unix.EPERM && (number != unix.SYS_CLONE3 || errno != unix.ENOSYS) {
			out = append(out, fmt.Sprintf("%d %v: %v", number, arguments, errno))
		}
	}
	for number := range lastCall {
		if depending[number] == nil && !slices.Contains(computing, number) {
			try(number, [3]uintptr{})
		}
	}
	for number, list := range depending {
		for _, arguments := range list {
			try(number, arguments)
		}
	}
	if len(out) == 0 {
		return "all refused"
	}
	return strings.Join(out, ", ")
}

// environment lists what stands in the worker's, but for what its parent gives it.
func environment() string {
	rest := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "PGCUSTOS_PARSER_") || slices.Contains([]string{"GOTRACEBACK", "GOMAXPROCS", "GODEBUG"}, name)
	})
	if len(rest) == 0 {
		return "empty"
	}
	return strings.Join(rest, ", ")
}

// A worker that a text has taken over tries everything that the kernel has.
func TestConfinementFromInside(t *testing.T) {
	t.Setenv("PGCUSTOS_TEST_SECRET", "of the parent's")
	r, _ := open(t, statement.Options{Workers: 1}, asEscaping)
	for what, want := range map[string]string{"calls": "all refused", "environment": "empty", "own environment": "operation not permitted"} {
		j := judge(t, r, what)
		if len(j.Statements) != 1 || !strings.Contains(j.Statements[0].Text, want) {
			t.Errorf("%s: %+v", what, j.Statements)
		}
	}
}
