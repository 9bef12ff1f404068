package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// upgradeSignals start a successor.
var upgradeSignals = []os.Signal{syscall.SIGUSR2}

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
