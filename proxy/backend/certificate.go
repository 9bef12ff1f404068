package backend

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/auth"
)

// certificates is a Credential that is made at log-in: a client certificate for
// one principal and role. One signature serves all log-ins of the two for the
// certificate's lifetime.
type certificates struct {
	authority *Authority
	grace     time.Duration // of a log-in that begins when the lifetime is all but over
	now       func() time.Time

	mu    sync.Mutex
	known map[holder]*signed // guarded by mu
}

// holder is whom a certificate is for.
type holder struct{ cn, role string }

// signed is a certificate, or the place where one is being made.
type signed struct {
	mu          sync.Mutex // held while the signature is made, so that one is enough
	certificate *tls.Certificate
	until       time.Time
}

// mostKnown bounds the certificates that are kept.
const mostKnown = 10_000

func newCertificates(a *Authority, grace time.Duration) *certificates {
	return &certificates{authority: a, grace: grace, now: time.Now, known: make(map[holder]*signed)}
}

// apply implements Credential. The server has to ask for the certificate, and for
// nothing else.
func (s *certificates) apply(c *pgconn.Config, login *Login) (*auth.Secret, error) {
	certificate, err := s.get(login)
	if err != nil {
		return nil, err
	}
	show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	c.TLSConfig.GetClientCertificate = show
	for _, f := range c.Fallbacks {
		f.TLSConfig.GetClientCertificate = show
	}
	c.SSLCertMode = "require"
	return nil, nil
}

// get returns the certificate for a log-in, made if there is none in use.
func (s *certificates) get(login *Login) (*tls.Certificate, error) {
	cn := prober
	if !login.Probe {
		var err error
		if cn, err = CommonName(login.Principal); err != nil {
			return nil, err
		}
	}
	place := s.place(holder{cn, login.Role})
	place.mu.Lock()
	defer place.mu.Unlock()
	now := s.now()
	if place.certificate != nil && now.Before(place.until) {
		return place.certificate, nil
	}
	certificate, err := s.authority.sign(cn, login.Role, now, s.grace, login.Signing)
	if err != nil {
		return nil, err
	}
	place.certificate = certificate
	s.mu.Lock()
	place.until = now.Add(s.authority.Lifetime)
	s.mu.Unlock()
	return certificate, nil
}

func (s *certificates) place(h holder) *signed {
	s.mu.Lock()
	defer s.mu.Unlock()
	place, ok := s.known[h]
	if !ok {
		s.forget()
		place = new(signed)
		s.known[h] = place
	}
	return place
}

// forget makes room: of what has ended first, and then of anything. Who uses a
// place that is forgotten goes on with it. mu is held.
func (s *certificates) forget() {
	if len(s.known) < mostKnown {
		return
	}
	now := s.now()
	for h, place := range s.known {
		if !now.Before(place.until) {
			delete(s.known, h)
		}
	}
	for h := range s.known {
		if len(s.known) < mostKnown*9/10 {
			return
		}
		delete(s.known, h)
	}
}
