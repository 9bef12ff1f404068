package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// cpuTime returns the processor time that a process has used, all its threads
// together, those that have ended too. It is the clock from which /proc/PID/stat
// has the sum of utime and stime, read in nanoseconds where that rounds each to
// 10 ms (clock_getcpuclockid(3); the kernel's MAKE_PROCESS_CPUCLOCK).
func cpuTime(pid int) (time.Duration, error) {
	const cpuClockSched = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &t); err != nil {
		return 0, fmt.Errorf("the processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// spent is the processor time of a target.
type spent struct{ proxy, workers time.Duration }

func (s spent) less(o spent) spent { return spent{s.proxy - o.proxy, s.workers - o.workers} }

// cpu returns what the target has used up to now.
func (t *target) cpu() (spent, error) {
	if t.pid == 0 {
		return spent{}, nil
	}
	proxy, err := cpuTime(t.pid)
	if err != nil || !t.ours {
		return spent{proxy: proxy}, err
	}
	workers, err := testkit.Children(t.pid)
	if err != nil {
		return spent{}, err
	}
	sum := spent{proxy: proxy}
	for _, pid := range workers {
		if d, err := cpuTime(pid); err == nil { // else it has just ended
			sum.workers += d
		}
	}
	return sum, nil
}

// resident returns the memory of a process's own that is in RAM, in bytes: mapped files
// are the kernel's cache, and those of the journal come and go.
func resident(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no RssAnon", pid)
}
