package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// Lists are certificate revocation lists, one of each issuer's key.
type Lists struct {
	byIssuer map[string][]*list // by the issuer's name, DER
}

type list struct {
	*x509.RevocationList
	serials map[string]bool
	proved  sync.Map // the issuers' certificates, DER, that have signed it
}

// ReadLists reads lists in PEM, or one in DER. Of several of an issuer's key the youngest
// counts: an authority that has got another key publishes one for each.
func ReadLists(data []byte) (*Lists, error) {
	l := &Lists{byIssuer: make(map[string][]*list)}
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
	fresh := &list{RevocationList: crl, serials: make(map[string]bool, len(crl.RevokedCertificateEntries))}
	for i := range crl.RevokedCertificateEntries {
		fresh.serials[string(crl.RevokedCertificateEntries[i].SerialNumber.Bytes())] = true
	}
	fresh.RevokedCertificateEntries = nil
	all := l.byIssuer[string(crl.RawIssuer)]
	at := slices.IndexFunc(all, func(old *list) bool { return bytes.Equal(old.AuthorityKeyId, crl.AuthorityKeyId) })
	switch {
	case at < 0:
		l.byIssuer[string(crl.RawIssuer)] = append(all, fresh)
	case !all[at].ThisUpdate.After(crl.ThisUpdate):
		all[at] = fresh
	}
	return nil
}

// of returns the list that an issuer has signed, the youngest if there are several; the
// error says why there is none.
func (l *Lists) of(issuer *x509.Certificate) (found *list, err error) {
	err = errors.New("there is none")
	for _, one := range l.byIssuer[string(issuer.RawSubject)] {
		if signErr := one.signedBy(issuer); signErr != nil {
			err = signErr
		} else if found == nil || one.ThisUpdate.After(found.ThisUpdate) {
			found = one
		}
	}
	return found, err
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
	for _, all := range l.byIssuer {
		for _, one := range all {
			out = append(out, Span{one.Issuer.String(), one.ThisUpdate, one.NextUpdate})
		}
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
		one, err := l.of(chain[i+1])
		switch {
		case one == nil:
			return refusal(auth.CauseRevocationUnknown, "the revocation list of %s: %w", clip(c.Issuer.String()), err)
		case now.Before(one.ThisUpdate), one.NextUpdate.IsZero(), now.After(one.NextUpdate):
			return refusal(auth.CauseRevocationUnknown, "the revocation list of %s is of %s, and the next was due at %s",
				clip(c.Issuer.String()), one.ThisUpdate.UTC().Format(time.RFC3339), one.NextUpdate.UTC().Format(time.RFC3339))
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
