//go:build !linux

package main

import "os"

// upgradeSignals start a successor, on Linux.
var upgradeSignals []os.Signal

func accepting(uintptr) bool { return true }

func monotonic() int64 { return 0 }
