package syscalls

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification and answer are struct seccomp_notif and struct seccomp_notif_resp
// (linux/seccomp.h).
type notification struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32 // negative
	flags uint32
}

// call is one system call of the program's, or of one that it started, which waits
// for an answer.
type call struct {
	notification

	number  int
	program int // the process id of the program
}

// receive waits for the next call; nil where whoever made it is gone.
func receive(listener, program int) (*call, error) {
	c := &call{program: program}
	if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&c.notification)); err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
			return nil, nil
		}
		return nil, fmt.Errorf("receive a call: %w", err)
	}
	c.number = int(c.notification.number)
	return c, nil
}

// goOn has the call made.
func (c *call) goOn(listener int) error {
	return c.respond(listener, answer{id: c.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// fail has it fail, or kills who made it.
func (c *call) fail(listener int, errno unix.Errno) error {
	if errno != 0 {
		return c.respond(listener, answer{id: c.id, errno: -int32(errno)})
	}
	if err := unix.Kill(c.process(), unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return c.respond(listener, answer{id: c.id, errno: -int32(unix.EIO)})
}

func (c *call) respond(listener int, a answer) error {
	err := control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
	if err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: it was killed, or interrupted
		return fmt.Errorf("answer %s: %w", known[c.number].name, err)
	}
	return nil
}

// child says whether it is one of a process that the program started.
func (c *call) child() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", c.program, c.pid))
	return err != nil
}

// process is the process of the thread that makes the call.
func (c *call) process() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		return int(c.pid)
	}
	for line := range bytes.Lines(status) {
		if id, found := bytes.CutPrefix(line, []byte("Tgid:")); found {
			if n, err := strconv.Atoi(string(bytes.TrimSpace(id))); err == nil {
				return n
			}
		}
	}
	return int(c.pid)
}

// subject names the file that the call is about: its path, or what the kernel says
// instead of one.
func (c *call) subject() string {
	k := known[c.number]
	switch k.about {
	case descriptor:
		// A descriptor that is none is -1, in 32 bits.
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.pid, int32(c.args[k.argument])))
		if err != nil {
			return ""
		}
		return name
	case path:
		return c.text(c.args[k.argument])
	case nothing:
	}
	return ""
}

// text reads a string in the memory of who makes the call.
func (c *call) text(address uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", c.pid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	b := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(b, int64(address)) //nolint:errcheck // it may end behind the string
	name, _, _ := bytes.Cut(b[:n], []byte{0})
	return string(name)
}

func control(fd int, request uintptr, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}
