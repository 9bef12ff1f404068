//go:build !unix

package config

import "io/fs"

const openFlags = 0

// checkPrivate has nothing to look at where permissions are not mode bits;
// `serve` runs on Linux only.
func checkPrivate(string, fs.FileInfo) error { return nil }
