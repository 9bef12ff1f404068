package syslog

import (
	"context"
	"crypto/tls"

	"github.com/pgcustos/pgcustos/audit/sink"
)

var _ sink.Prober = (*Sink)(nil)

// Probe implements sink.Prober. A syslog server has nothing to say: that it would
// refuse the client's certificate, under TLS 1.3 behind the handshake, does not show.
func (s *Sink) Probe(ctx context.Context) (p sink.Probed, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout)
	defer cancel()
	conn, raw, err := s.dial(ctx)
	if err != nil {
		return p, err
	}
	p.Says = "syslog"
	if secured, ok := conn.(*tls.Conn); ok {
		p.Certificate, p.Says = secured.ConnectionState().PeerCertificates[0], "syslog over TLS"
	}
	return p, raw.Close()
}
