package main

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit/reading"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

// showCertificate has a role log in with a certificate that names nobody.
func (p *probe) showCertificate(ctx context.Context, c *pgconn.Config, role string) error {
	certificate, err := p.backend.Certificate(backend.Login{
		Role: role, Probe: true, Signing: func(s backend.Signature) error { p.announce(ctx, s); return nil },
	})
	if err != nil {
		return err
	}
	c.TLSConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	c.RequireAuth, c.SSLCertMode = "none", "require"
	return nil
}

// announce puts a signature on record. Where that cannot be, it says so: whoever
// may read the key can sign without this program too.
func (p *probe) announce(ctx context.Context, s backend.Signature) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	n := reading.Notice{Command: "check", Signing: s.String()}
	err := reading.Tell(ctx, p.journal.Path, n)
	if errors.Is(err, reading.ErrNobody) {
		err = reading.Alone(ctx, p.journal, n)
	}
	if err != nil {
		p.warn("backend %s: a certificate that is signed to try it is not on record: %v", p.options.Name, err)
	}
}
