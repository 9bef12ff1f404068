//go:build !linux

package syslog

import "net"

// unacknowledged cannot tell here: what was written counts as taken.
func unacknowledged(net.Conn) (int, error) { return 0, nil }
