//go:build !cgo

package main

import (
	"fmt"
	"os"
)

// work has no parser to run: a binary without cgo is for audit and explain.
func work() int {
	fmt.Fprintln(os.Stderr, "pgcustos: built without cgo, so without PostgreSQL's parser: serve cannot run")
	return exitFailure
}
