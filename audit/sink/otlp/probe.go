package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/pgcustos/pgcustos/audit/sink"
)

var _ sink.Prober = (*Sink)(nil)

// Probe implements sink.Prober: it asks with a request that holds no record, which
// a collector answers like any other (OTLP 1.5, "full success").
func (s *Sink) Probe(ctx context.Context) (p sink.Probed, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout)
	defer cancel()
	if p, err = s.shown(ctx); err != nil {
		return p, err
	}
	if s.client, err = s.connect(); err != nil {
		return p, err
	}
	err = s.send(ctx, nil)
	return p, errors.Join(err, s.Close())
}

// shown connects for the certificate alone.
func (s *Sink) shown(ctx context.Context) (p sink.Probed, err error) {
	p.Says = "OTLP over gRPC"
	if s.o.HTTP {
		p.Says = "OTLP over HTTP"
	}
	config := s.tls()
	if config == nil {
		return p, nil
	}
	if !s.o.HTTP {
		config.NextProtos = []string{"h2"}
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{}, Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", s.o.Endpoint)
	if err != nil {
		return p, err
	}
	if secured, ok := conn.(*tls.Conn); ok {
		p.Certificate = secured.ConnectionState().PeerCertificates[0]
	}
	return p, conn.Close()
}
