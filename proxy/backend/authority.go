package backend

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Authority signs the client certificates of one backend. The key is behind
// crypto.Signer: a file's, or that of a token or of a service.
type Authority struct {
	Certificate *x509.Certificate
	Signer      crypto.Signer
	// Lifetime is how long a certificate is used, from its signature.
	Lifetime time.Duration
	// Roles are those that the rules name for the backend: no other is signed for.
	Roles []string
}

// Signature is one that an authority is about to make.
type Signature struct {
	Principal string // as in the certificate's CN
	Role      string
	Serial    string // decimal, as pg_stat_ssl.client_serial
	NotAfter  time.Time
	Authority string // the subject key id of the authority's certificate
}

// String is what is recorded of a signature.
func (s Signature) String() string {
	return fmt.Sprintf("certificate %s for %s in role %s until %s, by authority %s",
		s.Serial, s.Principal, s.Role, s.NotAfter.UTC().Format(time.RFC3339), s.Authority)
}

// Clocks of the proxy and of the backend may differ by as much.
const clockSkew = 5 * time.Minute

// sign makes a certificate with a key of its own. It is good for as long as it is
// used, and for grace beyond. Announce is called before the signature is made,
// and its error keeps it from being made.
func (a *Authority) sign(cn, role string, now time.Time, grace time.Duration, announce func(Signature) error) (*tls.Certificate, error) {
	if !slices.Contains(a.Roles, role) || !CertifiableRole(role) {
		return nil, fmt.Errorf("no certificate is signed for role %q: no rule names it for this backend", role)
	}
	if now.After(a.Certificate.NotAfter) {
		return nil, fmt.Errorf("the authority's certificate ended on %s: pgcustos backend rotate makes a new one", a.Certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      subject(cn, role),
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     earlier(now.Add(a.Lifetime+grace), a.Certificate.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	err := announce(Signature{
		Principal: cn, Role: role, Serial: template.SerialNumber.String(), NotAfter: template.NotAfter,
		Authority: KeyID(a.Certificate),
	})
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, &key.PublicKey, a.Signer)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.Certificate.Raw}, PrivateKey: key}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// KeyID names an authority's key in records and on a terminal.
func KeyID(c *x509.Certificate) string { return fmt.Sprintf("%.16x", c.SubjectKeyId) }

// serial returns 16 random bytes, the highest bit clear (RFC 5280, section 4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// AuthorityYears is how long a new authority is good for.
const AuthorityYears = 5

// NewAuthority makes the self-signed certificate of a backend's authority. It can
// sign no further authorities.
func NewAuthority(backend string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: "clients of backend " + backend},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.AddDate(AuthorityYears, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
