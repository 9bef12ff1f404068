//go:build !linux

package confine

// Limit does nothing on this system.
func Limit(uint64) error { return nil }

// Seal does nothing on this system.
func Seal() error { return nil }
