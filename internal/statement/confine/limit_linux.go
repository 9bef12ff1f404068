package confine

import (
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// stage is the environment variable that tells the second start from the first.
const stage = "PGCUSTOS_PARSER_STAGE"

const (
	// stackBytes is each thread's stack. pg_query recurses with the depth of an
	// expression; what is too deep for it ends the worker. RLIMIT_DATA counts the
	// stacks of all threads, so it must stay small beside it.
	stackBytes = 16 << 20
	// openFiles are enough for the three pipes, for the runtime, and for the pipe
	// that pg_query puts in the place of standard error.
	openFiles = 32
	// cpuSeconds ends a worker that nobody ends. One that is well may use that
	// much: it is replaced.
	cpuSeconds = 24 * 3600
)

// settings are those of Go's runtime: a quiet death, no more threads than a
// parser needs, and no files of the control group kept open.
var settings = []string{"GOTRACEBACK=none", "GOMAXPROCS=2", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}

// Limit makes sure that the process runs under its limits: the first time it
// sets them and does not return but begins again; then it returns.
func Limit(memory uint64) error {
	if os.Getenv(stage) != "" {
		return nil
	}
	limits := []struct {
		name     string
		resource int
		most     uint64
	}{
		{"RLIMIT_STACK", unix.RLIMIT_STACK, stackBytes},
		{"RLIMIT_DATA", unix.RLIMIT_DATA, memory},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, 0},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, openFiles},
		{"RLIMIT_CPU", unix.RLIMIT_CPU, cpuSeconds},
	}
	for _, l := range limits {
		if err := lower(l.resource, l.most); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil && err != unix.ENOSYS {
		return fmt.Errorf("close_range: %w", err)
	}
	env := append(os.Environ(), stage+"=2")
	env = append(env, settings...)
	return fmt.Errorf("exec: %w", syscall.Exec("/proc/self/exe", os.Args, env))
}

// lower sets both limits, and never raises the hard one.
func lower(resource int, most uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return err
	}
	most = min(most, now.Max)
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most})
}
