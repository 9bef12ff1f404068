package sink

import (
	"context"
	"crypto/x509"
)

// Prober is a Sink that can be tried before anything has to be delivered.
type Prober interface {
	// Probe connects as a delivery would, delivers nothing, and disconnects. It
	// is called in place of Deliver, not beside it.
	Probe(ctx context.Context) (Probed, error)
}

// Probed is what a probe found out about a sink that can be reached.
type Probed struct {
	Certificate *x509.Certificate // that the other side showed; nil without TLS
	Says        string            // what is on the other side, in a few words
	Faults      []string          // why a delivery would fail, though somebody answers
	Warnings    []string          // what is not as it should be
}
