package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps what this process holds in its memory there: no core dump, no
// debugger of another process of the same account (prctl(2), core(5)).
func harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("RLIMIT_CORE: %w", err)
	}
	return nil
}
