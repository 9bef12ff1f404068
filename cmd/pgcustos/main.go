// Command pgcustos is an access proxy for PostgreSQL, with what belongs to it:
// serve runs the proxy, check probes a configuration, explain tells what rules
// make of a person, audit reads what was recorded.
//
// The exit code is 0 for success, 1 for a failure, 2 for a wrong usage.
package main

import (
	"context"
	"os"
)

// parserWorker is the hidden command under which this binary starts itself
// again to read statements.
const parserWorker = "parser-worker"

func main() {
	// A worker is fed by strangers: it must not even parse a command line, read
	// a file or know an environment variable.
	if len(os.Args) == 2 && os.Args[1] == parserWorker {
		os.Exit(work())
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
