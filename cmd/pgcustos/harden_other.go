//go:build !linux

package main

import "errors"

// harden refuses to serve where secrets in memory cannot be kept there.
func harden() error { return errors.New("serve runs on Linux only") }
