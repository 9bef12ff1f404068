package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// upgradeSignals start a successor.
var upgradeSignals = []os.Signal{syscall.SIGUSR2}

// startBeside starts a program that outlives this process, as a child of this one's
// parent. systemd waits for its own children alone: a main process that is another's it
// kills at once when the service is to stop. ended waits for its end.
func startBeside(path string, args, env []string) (pid int, ended func() error, err error) {
	end := -1
	attr := &os.ProcAttr{
		Env: env, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT, PidFD: &end},
	}
	p, err := os.StartProcess(path, args, attr)
	if errors.Is(err, unix.EINVAL) {
		// The first process of a container has no parent.
		attr.Sys.Cloneflags = 0
		p, err = os.StartProcess(path, args, attr)
	}
	if err != nil {
		return 0, nil, err
	}
	if end < 0 {
		return p.Pid, nil, errors.Join(p.Kill(), os.NewSyscallError("pidfd_open", unix.ENOSYS))
	}
	return p.Pid, func() error {
		defer p.Release()     //nolint:errcheck // nothing of it is left
		defer unix.Close(end) //nolint:errcheck // likewise
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(end), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return os.NewSyscallError("poll", err)
			}
		}
	}, nil
}

func accepting(fd uintptr) bool {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && n == 1
}

// monotonic is the time in microseconds that RELOADING=1 wants (sd_notify(3)).
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails for a clock that there is not
	return t.Nano() / 1000
}
