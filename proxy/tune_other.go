//go:build !linux

package proxy

import "net"

// tune does nothing where the proxy is not run in earnest.
func tune(net.Conn) {}
