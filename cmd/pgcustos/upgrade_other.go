//go:build !linux

package main

import (
	"errors"
	"os"
)

// upgradeSignals start a successor, on Linux.
var upgradeSignals []os.Signal

func startBeside(string, []string, []string) (int, func() error, error) {
	return 0, nil, errors.ErrUnsupported
}

func accepting(uintptr) bool { return true }

func monotonic() int64 { return 0 }
