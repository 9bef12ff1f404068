package testkit

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// The names of an account in a certificate (MS-WCCE section 2.2.2.7.7.4).
var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidUPN            = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
	oidSecurity       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 25, 2}
	oidSecuritySID    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 25, 2, 1}
)

func (leaf Leaf) extensions() []pkix.Extension {
	var list []pkix.Extension
	if leaf.UPN != "" {
		list = append(list, pkix.Extension{Id: oidSubjectAltName, Critical: true, Value: generalNames(OtherName(oidUPN, asn1.TagUTF8String, leaf.UPN))})
	}
	if leaf.SID != "" {
		list = append(list, pkix.Extension{Id: oidSecurity, Value: generalNames(OtherName(oidSecuritySID, asn1.TagOctetString, leaf.SID))})
	}
	return list
}

// OtherName makes the otherName of a subjectAltName.
func OtherName(kind asn1.ObjectIdentifier, tag int, text string) []byte {
	id, err := asn1.Marshal(kind)
	if err != nil {
		panic(err) // it is a constant
	}
	value := element(asn1.ClassContextSpecific, 0, true, element(asn1.ClassUniversal, tag, false, []byte(text)))
	return element(asn1.ClassContextSpecific, 0, true, append(id, value...))
}

func generalNames(names ...[]byte) []byte {
	var all []byte
	for _, n := range names {
		all = append(all, n...)
	}
	return element(asn1.ClassUniversal, asn1.TagSequence, true, all)
}

func element(class, tag int, compound bool, content []byte) []byte {
	der, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: compound, Bytes: content})
	if err != nil {
		panic(err) // it has nothing that could fail
	}
	return der
}

// IssueAuthority makes an authority below this one.
func (ca *CA) IssueAuthority(name string) (*CA, error) {
	c, err := ca.Issue(Leaf{CommonName: name, Authority: true})
	if err != nil {
		return nil, err
	}
	key, ok := c.TLS.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", c.TLS.PrivateKey)
	}
	return &CA{Cert: c.TLS.Leaf, PEM: c.CertPEM, key: key}, nil
}

// Revoke makes a revocation list with these certificates on it, PEM, of which the
// next is due at some moment.
func (ca *CA) Revoke(next time.Time, revoked ...*Certificate) ([]byte, error) {
	template := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: next}
	if next.Before(template.ThisUpdate) {
		template.ThisUpdate = next.Add(-time.Hour)
	}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.TLS.Leaf.SerialNumber, RevocationTime: template.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.Cert, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign a revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}
