package startup

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Options bound what a stranger may do before authentication.
type Options struct {
	TLS *tls.Config
	// ProxyProtocolFrom lists the balancers whose PROXY protocol v2 header is
	// read, and demanded.
	ProxyProtocolFrom []netip.Prefix
	// Timeout bounds all that comes before authentication is done.
	Timeout time.Duration
	// Pending bounds the connections before authentication, in all;
	// PendingPerSource those of one address.
	Pending, PendingPerSource int
}
