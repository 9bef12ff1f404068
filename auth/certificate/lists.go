package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// Lists are certificate revocation lists, one of each issuer.
type Lists struct {
	byIssuer map[string]*list // by the issuer's name, DER
}

type list struct {
	*x509.RevocationList
	serials map[string]bool
	proved  sync.Map // the issuers' certificates, DER, that have signed it
}

// ReadLists reads lists in PEM, or one in DER. Of several of an issuer's the
// youngest counts.
func ReadLists(data []byte) (*Lists, error) {
	l := &Lists{byIssuer: make(map[string]*list)}
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		return l, l.add(data)
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("it holds a %s: it must hold revocation lists alone", block.Type)
		}
		if err := l.add(block.Bytes); err != nil {
			return nil, err
		}
	}
	if len(l.byIssuer) == 0 {
		return nil, errors.New("it holds no revocation list")
	}
	return l, nil
}

func (l *Lists) add(der []byte) error {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("a revocation list cannot be read: %w", err)
	}
	for _, e := range crl.Extensions {
		if e.Critical {
			return fmt.Errorf("the list of %s has a critical extension, %s: lists of a part, or of changes alone, are not taken", crl.Issuer, e.Id)
		}
	}
	if old := l.byIssuer[string(crl.RawIssuer)]; old != nil && old.ThisUpdate.After(crl.ThisUpdate) {
		return nil
	}
	fresh := &list{RevocationList: crl, serials: make(map[string]bool, len(crl.RevokedCertificateEntries))}
	for i := range crl.RevokedCertificateEntries {
		fresh.serials[string(crl.RevokedCertificateEntries[i].SerialNumber.Bytes())] = true
	}
	fresh.RevokedCertificateEntries = nil
	l.byIssuer[string(crl.RawIssuer)] = fresh
	return nil
}

// Span is what a list is in force for.
type Span struct {
	Issuer     string
	This, Next time.Time
}

// Spans tells of each list when it was made and when the next is due.
func (l *Lists) Spans() []Span {
	if l == nil {
		return nil
	}
	var out []Span
	for _, one := range l.byIssuer {
		out = append(out, Span{one.Issuer.String(), one.ThisUpdate, one.NextUpdate})
	}
	return out
}

// check looks each certificate of a chain below its authority up in the list of its
// issuer. Without a list that is in force nothing is known, and it is refused.
func (l *Lists) check(chain []*x509.Certificate, now time.Time) error {
	if l == nil {
		return nil
	}
	for i, c := range chain[:len(chain)-1] {
		one := l.byIssuer[string(c.RawIssuer)]
		switch {
		case one == nil:
			return refusal(auth.CauseRevocationUnknown, "there is no revocation list of %s", clip(c.Issuer.String()))
		case now.Before(one.ThisUpdate), one.NextUpdate.IsZero(), now.After(one.NextUpdate):
			return refusal(auth.CauseRevocationUnknown, "the revocation list of %s is of %s, and the next was due at %s",
				clip(c.Issuer.String()), one.ThisUpdate.UTC().Format(time.RFC3339), one.NextUpdate.UTC().Format(time.RFC3339))
		}
		if err := one.signedBy(chain[i+1]); err != nil {
			return refusal(auth.CauseRevocationUnknown, "the revocation list of %s: %w", clip(c.Issuer.String()), err)
		}
		if one.serials[string(c.SerialNumber.Bytes())] {
			return refusal(auth.CauseCertificateRevoked, "%s, serial number %s", clip(c.Subject.String()), c.SerialNumber)
		}
	}
	return nil
}

func (l *list) signedBy(issuer *x509.Certificate) error {
	if _, ok := l.proved.Load(string(issuer.Raw)); ok {
		return nil
	}
	if err := l.CheckSignatureFrom(issuer); err != nil {
		return err
	}
	l.proved.Store(string(issuer.Raw), true)
	return nil
}
