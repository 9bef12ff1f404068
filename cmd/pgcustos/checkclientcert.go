package main

import (
	"time"

	"github.com/pgcustos/pgcustos/internal/config"
)

// clientCertificates judges what clients' certificates are proved by.
func (r *report) clientCertificates(c *config.Config) {
	cc := &c.ClientCertificates
	for _, a := range cc.Authorities {
		r.validity("client certificates: authority", a)
	}
	now := time.Now()
	for _, s := range cc.Lists.Spans() {
		const what = "client certificates: revocation list of"
		switch next := s.Next.UTC().Format(time.RFC3339); {
		case now.Before(s.This):
			r.fail("%s %s: it is of %s, which is still to come", what, s.Issuer, s.This.UTC().Format(time.RFC3339))
		case !now.Before(s.Next):
			r.fail("%s %s: the next was due at %s, nobody with a certificate of this issuer can log in", what, s.Issuer, next)
		default:
			r.ok("%s %s: in force until %s", what, s.Issuer, next)
		}
	}
	if len(cc.Authorities) > 0 && cc.Lists == nil {
		r.warn("client certificates: no revocation list (crl) is looked at: a certificate that was lost is good until it ends")
	}
}
