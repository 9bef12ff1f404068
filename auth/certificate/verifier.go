package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

var _ auth.Certifier = (*Verifier)(nil)

// Options say whose certificates are taken, and whom they name.
type Options struct {
	// Authorities are trusted to name any account.
	Authorities []*x509.Certificate
	// Lists tell what was revoked. With any, each certificate of a chain below the
	// authority needs a list of its issuer's that is in force; nil: none is looked at.
	Lists *Lists
	// Subjects are the accounts of certificates by their whole subject, as
	// x509.Name prints it. They go before a UPN.
	Subjects map[string]string
}

// Pool returns the authorities.
func (o *Options) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range o.Authorities {
		pool.AddCert(a)
	}
	return pool
}

// Verifier is safe for concurrent use, and does no I/O.
type Verifier struct {
	options Options
	roots   *x509.CertPool
	now     func() time.Time
}

// New makes a verifier.
func New(o Options) *Verifier { return &Verifier{options: o, roots: o.Pool(), now: time.Now} }

// mostShown bounds the certificates that a client shows.
const mostShown = 8

// Verify implements auth.Certifier.
func (v *Verifier) Verify(chain []*x509.Certificate) (auth.Shown, error) {
	if len(chain) == 0 {
		return auth.Shown{}, refusal(auth.CauseNoCertificate, "the client showed no certificate")
	}
	if len(chain) > mostShown {
		return auth.Shown{}, refusal(auth.CauseCertificateMalformed, "%d certificates were shown, %d are taken", len(chain), mostShown)
	}
	// What follows changes the certificate, which is the connection's.
	leaf, err := x509.ParseCertificate(chain[0].Raw)
	if err != nil {
		return auth.Shown{}, refusal(auth.CauseCertificateMalformed, "%w", err)
	}
	shown := auth.Shown{Subject: clip(leaf.Subject.String()), Serial: leaf.SerialNumber.String(), Ends: leaf.NotAfter}
	names, err := readNames(leaf)
	if err != nil {
		return shown, refusal(auth.CauseCertificateMalformed, "%s: %w", shown.Subject, err)
	}
	if err := v.trusted(leaf, chain[1:], &shown); err != nil {
		return shown, err
	}
	shown.SID = names.sid
	switch account, mapped := v.options.Subjects[leaf.Subject.String()]; {
	case mapped && told(&leaf.Subject):
		shown.Name = account
	case names.upn != "":
		shown.Name = names.upn
	default:
		return shown, refusal(auth.CauseCertificateNameless, "%s has no UPN, and is not among the subjects", shown.Subject)
	}
	return shown, nil
}

// told reports whether a subject is all that x509.Name prints: of several common names, or
// serial numbers, that has the last alone.
func told(subject *pkix.Name) bool {
	var names, numbers int
	for _, a := range subject.Names {
		switch {
		case a.Type.Equal(oidCommonName):
			names++
		case a.Type.Equal(oidSerialNumber):
			numbers++
		}
	}
	return names <= 1 && numbers <= 1
}

// trusted judges the chain, and when the first of it ends.
func (v *Verifier) trusted(leaf *x509.Certificate, others []*x509.Certificate, shown *auth.Shown) error {
	now := v.now()
	switch {
	case now.After(leaf.NotAfter):
		return refusal(auth.CauseCertificateExpired, "%s ended at %s", shown.Subject, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return refusal(auth.CauseCertificateEarly, "%s begins at %s", shown.Subject, leaf.NotBefore.UTC().Format(time.RFC3339))
	case leaf.IsCA, !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth),
		leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return refusal(auth.CauseCertificateUsage, "%s is not for client authentication", shown.Subject)
	}
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return explain(err, shown)
	}
	var refused error
	for _, chain := range chains {
		if refused = v.options.Lists.check(chain, now); refused == nil {
			for _, c := range chain {
				if c.NotAfter.Before(shown.Ends) {
					shown.Ends = c.NotAfter
				}
			}
			return nil
		}
	}
	return refused
}

// explain names what keeps a chain from being one.
func explain(err error, shown *auth.Shown) error {
	cause := auth.CauseCertificateUntrusted
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if invalid.Reason == x509.Expired { // of an authority between
			cause = auth.CauseCertificateExpired
		}
		if invalid.Reason == x509.IncompatibleUsage {
			cause = auth.CauseCertificateUsage
		}
	}
	return refusal(cause, "%s: %w", shown.Subject, err)
}

func refusal(cause auth.Cause, format string, args ...any) *auth.Failure {
	err := fmt.Errorf(format, args...)
	return &auth.Failure{Cause: cause, Detail: clip(err.Error()), Err: errors.Unwrap(err)}
}

// clip bounds what a certificate can make a record hold.
func clip(s string) string {
	const most = 256
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
