package syslog

import (
	"crypto/tls"
	"time"

	"github.com/pgcustos/pgcustos/audit/sink"
)

// Options say where the syslog server is, and what it takes.
type Options struct {
	Address string // host:port
	// TLS is verify-full (RFC 5425); nil for TCP without it, which is for loopback
	// alone. An empty ServerName stands for the host of Address.
	TLS            *tls.Config
	ConnectTimeout time.Duration
	Facility       int    // RFC 5424, section 6.2.1
	Hostname       string // of the messages: the node
	// MaxMessage bounds a message in bytes. What every receiver should take, and
	// the default where it is 0, is 8192 (RFC 5425, section 4.3.1).
	MaxMessage int
	// Line makes the messages' texts; nil: sink.Native.
	Line sink.Line
}
