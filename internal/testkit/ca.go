package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// CA is a certificate authority of its own. It is safe for concurrent use.
type CA struct {
	Cert *x509.Certificate
	PEM  []byte
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority with an ECDSA P-256 key that is good for a year.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", name, err)
	}
	return &CA{Cert: cert, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: key}, nil
}

// Pool returns a new pool with the authority's certificate alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// Write puts the authority's certificate into dir/name.crt and returns the path.
func (ca *CA) Write(dir, name string) (string, error) {
	path := filepath.Join(dir, name+".crt")
	return path, os.WriteFile(path, ca.PEM, 0o644)
}

// Leaf says what a certificate is to hold. It serves as server and as client.
type Leaf struct {
	CommonName string
	Names      []string     // DNS names
	Addresses  []netip.Addr // IP addresses
	// NotAfter ends the certificate, a moment in the past makes an expired one;
	// a year from now where it is zero. It begins an hour ago where NotBefore is zero.
	NotBefore, NotAfter time.Time
	// UPN is a userPrincipalName in the subjectAltName, SID the account's in the
	// extension of a domain's authority; empty for none.
	UPN, SID string
	// Organization goes into the subject, and so does a CommonName before the other one.
	Organization, FirstCommonName string
	// Usages are for a server and a client where there are none.
	Usages []x509.ExtKeyUsage
	// Authority makes it an authority's certificate.
	Authority bool
}

// Certificate is a certificate with its key, in memory and as PEM.
type Certificate struct {
	TLS             tls.Certificate
	CertPEM, KeyPEM []byte
}

// Issue makes and signs a certificate.
func (ca *CA) Issue(leaf Leaf) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf.template(), ca.Cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", leaf.CommonName, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of %s: %w", leaf.CommonName, err)
	}
	c := &Certificate{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
	if c.TLS, err = tls.X509KeyPair(c.CertPEM, c.KeyPEM); err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", leaf.CommonName, err)
	}
	return c, nil
}

func (leaf Leaf) template() *x509.Certificate {
	notBefore, notAfter := leaf.NotBefore, leaf.NotAfter
	if notBefore.IsZero() {
		notBefore = time.Now().Add(-time.Hour)
	}
	if notAfter.IsZero() {
		notAfter = time.Now().AddDate(1, 0, 0)
	}
	if notAfter.Before(notBefore) {
		notBefore = notAfter.AddDate(0, 0, -1)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: leaf.CommonName},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  leaf.Usages,
		DNSNames:     leaf.Names,

		ExtraExtensions: leaf.extensions(),
	}
	if leaf.Organization != "" {
		template.Subject.Organization = []string{leaf.Organization}
	}
	if leaf.FirstCommonName != "" {
		oidCommonName := asn1.ObjectIdentifier{2, 5, 4, 3}
		for _, name := range []string{leaf.FirstCommonName, leaf.CommonName} {
			template.Subject.ExtraNames = append(template.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: oidCommonName, Value: name})
		}
	}
	if leaf.Usages == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if leaf.Authority {
		template.IsCA, template.BasicConstraintsValid, template.ExtKeyUsage = true, true, nil
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	for _, addr := range leaf.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(addr.AsSlice()))
	}
	return template
}

// Write puts the certificate into dir/name.crt and its key into dir/name.key,
// mode 0600, and returns both paths.
func (c *Certificate) Write(dir, name string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if err := os.WriteFile(certFile, c.CertPEM, 0o644); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, c.KeyPEM, 0o600)
}

func serial() *big.Int {
	// 16 random bytes, the highest bit clear: RFC 5280, section 4.1.2.2, wants a
	// positive number of at most 20 bytes.
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
