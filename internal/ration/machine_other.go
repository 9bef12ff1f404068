//go:build !linux

package ration

// Machine is not known: the proxy serves on Linux.
func Machine() int64 { return 0 }
