package pgparse

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/confine"
)

// The exit statuses of a worker, which its parent's log shows.
const (
	exitDone   = 0 // the parent closed the pipe
	exitUsage  = 2 // not started by a pool
	exitLimits = 3 // its limits could not be set
	exitSeal   = 4 // the system call filter could not be installed
	exitBroken = 5 // the pipe broke
)

// warmUp takes the parser and the walk through what they set up once.
const warmUp = "DO $$ BEGIN DELETE FROM t WHERE a = 1; END $$; SELECT f(a) FROM t WHERE b = 'c'"

// Main is a parser worker's life: it confines itself, says that it is ready and
// answers texts until in is closed. It returns the process's exit status. The
// program that calls it must have started as such a worker and have done
// nothing else; on Linux it is executed a second time, from the beginning, once
// its limits are set.
func Main(in, out *os.File) int { return run(in, out, Read) }

func run(in, out *os.File, read func(string) *statement.Judgement) int {
	memory, err := strconv.ParseUint(os.Getenv(statement.MemoryVariable), 10, 64)
	if err != nil {
		return exitUsage
	}
	if err := confine.Limit(memory); err != nil {
		return exitLimits
	}
	debug.SetMemoryLimit(int64(min(memory, math.MaxInt64) / 2)) // the other half is C's
	Read(warmUp)
	if err := confine.Seal(); err != nil {
		return exitSeal
	}
	if err := statement.Serve(in, out, math.MaxInt32, read); err != nil {
		return exitBroken
	}
	return exitDone
}
