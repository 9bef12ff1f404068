package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	// The otherName of a userPrincipalName (MS-WCCE section 2.2.2.7.7.4).
	oidUPN = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
	// The extension in which the domain's authority says whose the certificate is,
	// and the otherName in it (MS-WCCE section 2.2.2.7.7.4, szOID_NTDS_CA_SECURITY_EXT).
	oidSecurity    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 25, 2}
	oidSecuritySID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 25, 2, 1}
	// Of a subject (X.520).
	oidCommonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber = asn1.ObjectIdentifier{2, 5, 4, 5}
)

// mostName bounds a name, in bytes, as the directory does.
const mostName = 256

// accountNames are what a certificate says of its account; empty for nothing.
type accountNames struct{ upn, sid string }

// readNames reads whom a certificate names. One that names two is refused, for it
// would be for the reader to choose. An extension that is read here is no unknown
// one any more, also where it is critical.
func readNames(c *x509.Certificate) (accountNames, error) {
	var n accountNames
	for _, e := range c.Extensions {
		var err error
		switch {
		case e.Id.Equal(oidSubjectAltName):
			n.upn, err = otherName(e.Value, oidUPN, asn1.TagUTF8String)
		case e.Id.Equal(oidSecurity):
			n.sid, err = otherName(e.Value, oidSecuritySID, asn1.TagOctetString)
		default:
			continue
		}
		if err != nil {
			return accountNames{}, err
		}
		c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, e.Id.Equal)
	}
	return n, nil
}

var errNames = errors.New("its names cannot be read")

// otherName reads the one otherName of a kind in a GeneralNames (RFC 5280, section
// 4.2.1.6):
//
//	GeneralNames ::= SEQUENCE SIZE (1..MAX) OF GeneralName
//	otherName [0] IMPLICIT SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }
func otherName(der []byte, kind asn1.ObjectIdentifier, tag int) (string, error) {
	list, err := one(der, asn1.ClassUniversal, asn1.TagSequence, true)
	if err != nil {
		return "", err
	}
	found := ""
	for rest := list; len(rest) > 0; {
		var name asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &name); err != nil {
			return "", fmt.Errorf("%w: %w", errNames, err)
		}
		if name.Class != asn1.ClassContextSpecific || name.Tag != 0 {
			continue
		}
		var id asn1.ObjectIdentifier
		value, err := asn1.Unmarshal(name.Bytes, &id)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errNames, err)
		}
		if !id.Equal(kind) {
			continue
		}
		if found != "" {
			return "", errors.New("it names two accounts")
		}
		if found, err = text(value, tag); err != nil {
			return "", err
		}
	}
	return found, nil
}

// text reads the explicit value of an otherName.
func text(der []byte, tag int) (string, error) {
	inner, err := one(der, asn1.ClassContextSpecific, 0, true)
	if err != nil {
		return "", err
	}
	b, err := one(inner, asn1.ClassUniversal, tag, false)
	switch {
	case err != nil:
		return "", err
	case len(b) == 0 || len(b) > mostName || !utf8.Valid(b):
		return "", fmt.Errorf("%w: a name of %d bytes", errNames, len(b))
	}
	return string(b), nil
}

// one returns the content of the one value that der is.
func one(der []byte, class, tag int, compound bool) ([]byte, error) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNames, err)
	case len(rest) > 0 || v.Class != class || v.Tag != tag || v.IsCompound != compound:
		return nil, errNames
	}
	return v.Bytes, nil
}
