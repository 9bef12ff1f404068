package confine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Seal closes the process: it cannot be traced or dumped, and of the system
// calls only those of a computation remain; the others fail with EPERM. It
// covers all threads. Nothing opens it again.
func Seal() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("dumpable: %w", err)
	}
	program, err := bpf.Assemble(filter(unix.Getpid()))
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	failed, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if failed != 0 {
		return errors.New("seccomp: a thread cannot be covered")
	}
	return nil
}

// Offsets in struct seccomp_data (linux/seccomp.h). The low half of an argument
// comes first: both architectures are little endian.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

const (
	allow = unix.SECCOMP_RET_ALLOW
	deny  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	// absent makes the C library fall back to clone, whose flags can be seen.
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	kill   = unix.SECCOMP_RET_KILL_PROCESS
)

// filter is the program: it allows what the list allows.
func filter(pid int) []bpf.Instruction {
	out := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: kill}, // another architecture's numbers mean other calls
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	}
	for _, number := range allowed {
		out = append(out, when(uint32(number), bpf.RetConstant{Val: allow})...)
	}
	out = append(out, when(unix.SYS_CLONE3, bpf.RetConstant{Val: absent})...)
	// Threads, but no processes.
	out = append(out, when(unix.SYS_CLONE, argument(0, bpf.JumpBitsSet, unix.CLONE_THREAD)...)...)
	// No memory that can be executed.
	for _, number := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT} {
		out = append(out, when(number, argument(2, bpf.JumpBitsNotSet, unix.PROT_EXEC)...)...)
	}
	// Signals to its own threads: the runtime's preemption, and abort().
	for _, number := range []uint32{unix.SYS_TGKILL, unix.SYS_KILL} {
		out = append(out, when(number, argument(0, bpf.JumpEqual, uint32(pid))...)...)
	}
	return append(out, bpf.RetConstant{Val: deny})
}

// when runs the instructions, which end the program, for one system call.
func when(number uint32, then ...bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: uint8(len(then))},
	}, then...)
}

// argument allows a call whose n-th argument, its low half, meets a condition.
func argument(n uint32, cond bpf.JumpTest, val uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArgs + 8*n, Size: 4},
		bpf.JumpIf{Cond: cond, Val: val, SkipTrue: 1},
		bpf.RetConstant{Val: deny},
		bpf.RetConstant{Val: allow},
	}
}

// allowed are the calls of a computation: memory, threads, time, signals to
// itself, and reading and writing what is open. pg_query puts a pipe in the
// place of standard error while it parses.
var allowed = append([]int{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
	unix.SYS_PIPE2, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_FCNTL,
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_RESTART_SYSCALL,
	unix.SYS_EPOLL_PWAIT,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}, allowedHere...)
