package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/pgcustos/pgcustos/audit/sink"
)

var _ sink.Prober = (*Sink)(nil)

// probeWait is for how long a probe listens for a complaint: a syslog server says
// nothing else, and under TLS 1.3 refuses a certificate only after the handshake.
const probeWait = time.Second

// Probe implements sink.Prober.
func (s *Sink) Probe(ctx context.Context) (p sink.Probed, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout)
	defer cancel()
	conn, raw, err := s.dial(ctx)
	if err != nil {
		return p, err
	}
	defer raw.Close() //nolint:errcheck // nothing was delivered
	p.Says = "syslog"
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return p, nil
	}
	p.Certificate = secured.ConnectionState().PeerCertificates[0]
	p.Says = "syslog over TLS"
	if err := secured.CloseWrite(); err != nil {
		return p, err
	}
	if err := secured.SetReadDeadline(time.Now().Add(probeWait)); err != nil {
		return p, err
	}
	_, err = secured.Read(make([]byte, 1))
	var late net.Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &late) && late.Timeout() {
		return p, nil
	}
	return p, err
}
