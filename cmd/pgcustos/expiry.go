package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// expiry is when something ends that the proxy rests on, and how long before that it
// is warned of.
type expiry struct {
	at     time.Time
	margin time.Duration
}

// certificateEnds tells when each certificate that the proxy rests on ends: those that it
// shows, with what they are signed by, those that it trusts, and revocation lists, without
// which nobody of their issuer gets in.
func certificateEnds(c *config.Config) map[string]expiry {
	ends := map[string]expiry{}
	put := func(what string, at time.Time) { ends[what] = expiry{at, expiryWarning} }
	if t := c.Listen.Startup.TLS; t != nil {
		put("listen", chainEnd(&t.Certificates[0]))
	}
	if len(c.Peers.Nodes) > 0 {
		put("peers", chainEnd(&c.Peers.Certificate))
	}
	for i := range c.Backends {
		if a := c.Backends[i].Authority; a != nil {
			put("backend "+c.Backends[i].Name, a.Certificate.NotAfter)
		}
	}
	for _, a := range c.ClientCertificates.Authorities {
		put("clients "+a.Subject.String(), a.NotAfter)
	}
	for file, at := range c.Trusted {
		put(file, at)
	}
	for _, l := range c.ClientCertificates.Lists.Spans() {
		// The next one is published only shortly before.
		if e, another := ends[listOf+l.Issuer]; !another || l.Next.Before(e.at) {
			ends[listOf+l.Issuer] = expiry{l.Next, min(l.Next.Sub(l.This)/revocationWarning, expiryWarning)}
		}
	}
	return ends
}

// listOf begins the name of a revocation list.
const listOf = "revocation list of "

// revocationWarning is the part of a list's time, of its end, in which the next one
// should be there.
const revocationWarning = 20

// chainEnd is when the first certificate of a chain ends.
func chainEnd(pair *tls.Certificate) time.Time {
	var first time.Time
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
	return first
}

// setCertificates changes which certificates are looked at.
func (h *health) setCertificates(ends map[string]expiry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = ends
}

// ending is a warning of the certificates that end soon, or have ended; nil for
// none. mu is held.
func (h *health) ending(now time.Time) error {
	var soon []string
	for what, end := range h.ends {
		if !now.Add(end.margin).After(end.at) {
			continue
		}
		if !strings.HasPrefix(what, listOf) {
			what = "certificate of " + what
		}
		verb := "ends"
		if now.After(end.at) {
			verb = "ended"
		}
		soon = append(soon, fmt.Sprintf("the %s %s on %s", what, verb, end.at.UTC().Format(time.DateOnly)))
	}
	if len(soon) == 0 {
		return nil
	}
	slices.Sort(soon)
	return telemetry.Warning(strings.Join(soon, "; "))
}
