//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// freeSpace returns how many bytes of a file system are left for this user.
func freeSpace(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil //nolint:unconvert // int64 on Linux, uint32 on macOS
}
