package driver

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attention is how long a loop waits, in milliseconds, without telling Go's
// scheduler. Under load something comes sooner, and the scheduler, which would lend
// its processor to others and watch some sixty times, at first each 20 µs, for when to
// do so, is left out of it. A loop that nothing happens to sleeps as any other goroutine
// does; the scheduler's signal to one that has run for 10 ms lets it do so sooner.
const attention = 20

// wait waits for events, unless there is something to do.
func (l *loop) wait(events []unix.EpollEvent) int {
	switch {
	case len(l.ready) > 0:
		return l.poll(events, 0)
	case len(l.lingerers) > 0:
		return l.pollFor(events, time.Until(l.lingerers[0].until))
	}
	if n := l.poll(events, attention); n > 0 {
		return n
	}
	return l.sleep(events)
}

// poll waits for so many milliseconds, and keeps the scheduler's processor meanwhile,
// of which there is one more for each loop. A signal, by which the collector of
// garbage stops the world, ends it.
func (l *loop) poll(events []unix.EpollEvent, milliseconds int) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(milliseconds), 0, 0)
	return polled(n, errno)
}

func polled(n uintptr, errno unix.Errno) int {
	switch errno {
	case 0:
		return int(n)
	case unix.EINTR:
		return 0
	default:
		panic(os.NewSyscallError("epoll_pwait", errno)) // a descriptor was closed that was not ours to close
	}
}

// sleep waits for as long as it takes.
func (l *loop) sleep(events []unix.EpollEvent) int {
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		switch {
		case err == nil:
			return n
		case !errors.Is(err, unix.EINTR):
			panic(os.NewSyscallError("epoll_wait", err))
		}
	}
}
