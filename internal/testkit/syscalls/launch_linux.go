package syscalls

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// launchVariable names the calls that the kernel is to ask about, for a test binary
// that was started to start a program.
const launchVariable = "PGCUSTOS_TESTKIT_SYSCALLS"

// launchSocket is where the launched binary sends its listening descriptor.
const launchSocket = 3

// Launch is for a TestMain: where a Supervisor started the test binary to start a
// program, it becomes that program, and does not return.
func Launch() {
	watched := os.Getenv(launchVariable)
	if watched == "" {
		return
	}
	err := launch(watched, os.Args[1:])
	fmt.Fprintln(os.Stderr, "launch:", err)
	os.Exit(1)
}

func launch(watched string, command []string) error {
	var calls []int
	for text := range strings.SplitSeq(watched, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		calls = append(calls, n)
	}
	if err := os.Unsetenv(launchVariable); err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is this thread's, and the one that executes takes it along
	listener, err := listen(calls)
	if err != nil {
		return err
	}
	pid := strconv.AppendInt(nil, int64(os.Getpid()), 10)
	if err := unix.Sendmsg(launchSocket, pid, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("hand the listener over: %w", err)
	}
	unix.CloseOnExec(launchSocket)
	return fmt.Errorf("execute %s: %w", command[0], syscall.Exec(command[0], command, os.Environ()))
}

// listen puts a filter around the calling thread that asks about some calls.
func listen(calls []int) (int, error) {
	program, err := bpf.Assemble(filter(calls))
	if err != nil {
		return 0, err
	}
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	var errno syscall.Errno
	// A call that is being answered is not to be begun again for a signal, of which Go
	// sends itself many: since Linux 5.19.
	for _, more := range []uintptr{unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0} {
		var fd uintptr
		fd, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags|more, uintptr(unsafe.Pointer(&prog)))
		runtime.KeepAlive(code)
		if errno == 0 {
			return int(fd), nil
		}
	}
	return 0, fmt.Errorf("seccomp: %w", errno)
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// filter asks about some calls. Of those that map memory it asks only where they map
// a file: the runtime maps its own all the time.
func filter(calls []int) []bpf.Instruction {
	const (
		ask = 0x7fc00000 // SECCOMP_RET_USER_NOTIF
		no  = unix.SECCOMP_RET_ALLOW
	)
	out := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: no},
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	}
	for _, number := range calls {
		if number == unix.SYS_MMAP {
			out = append(out,
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: 4},
				bpf.LoadAbsolute{Off: offArgs + 8*4, Size: 4},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xffffffff, SkipFalse: 1},
				bpf.RetConstant{Val: no},
				bpf.RetConstant{Val: ask})
			continue
		}
		out = append(out,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: 1},
			bpf.RetConstant{Val: ask})
	}
	return append(out, bpf.RetConstant{Val: no})
}

// Start has cmd, which is not started yet, start under the supervisor's eyes.
func (s *Supervisor) Start(cmd *exec.Cmd) error {
	if len(cmd.ExtraFiles) > 0 {
		return errors.New("syscalls: the program is given descriptors of its own")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	theirs, err := s.await()
	if err != nil {
		return err
	}
	var calls []string
	for number := range s.watched {
		calls = append(calls, strconv.Itoa(number))
	}
	cmd.Args = append([]string{self, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	cmd.Env = append(cmd.Env, launchVariable+"="+strings.Join(calls, ","))
	cmd.ExtraFiles = []*os.File{theirs}
	return nil
}
