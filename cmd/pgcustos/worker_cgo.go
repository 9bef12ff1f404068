//go:build cgo

package main

import (
	"os"

	"github.com/pgcustos/pgcustos/internal/statement/pgparse"
)

// work is the whole life of a parser worker. It returns the exit code.
func work() int { return pgparse.Main(os.Stdin, os.Stdout) }
