package config

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/certificate"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

// maxCRL bounds a file of revocation lists: a domain's can be long.
const maxCRL = 64 << 20

// ClientCertificates say whose certificates prove an account. There are no
// Authorities where none are asked for.
type ClientCertificates struct {
	certificate.Options
	Pins []auth.Pin
}

func (c *Config) readClientCertificates(root *object) {
	v, ok := root.get("client_certificates")
	if !ok {
		return
	}
	o, ok := v.object()
	if !ok {
		return
	}
	cc := ClientCertificates{Options: certificate.Options{
		Authorities: o.authorities(), Lists: o.lists(), Subjects: o.subjects(),
	}}
	cc.Pins = o.pins()
	o.done()
	c.ClientCertificates = cc
	if t := c.Listen.Startup.TLS; t != nil && len(cc.Authorities) > 0 {
		// Verified after the StartupMessage, so that the client hears what is wrong.
		t.ClientAuth, t.ClientCAs = tls.RequestClientCert, cc.Pool()
	}
}

func (o *object) authorities() []*x509.Certificate {
	v, ok := o.need("ca", "the file of the authorities whose certificates are taken, PEM")
	if !ok {
		return nil
	}
	data, ok := v.file(false)
	if !ok {
		return nil
	}
	list, err := Certificates(text(v.node), data)
	if err != nil {
		v.errorf("%v", err)
		return nil
	}
	for _, a := range list {
		if !a.IsCA {
			v.errorf("%s: %s is not an authority's certificate", text(v.node), a.Subject)
		}
	}
	return list
}

func (o *object) lists() *certificate.Lists {
	v, ok := o.get("crl")
	if !ok {
		return nil
	}
	name, ok := v.word()
	if !ok {
		return nil
	}
	data, err := readFile(o.l.resolve(name), maxCRL, false)
	if err != nil {
		v.errorf("%v", err)
		return nil
	}
	lists, err := certificate.ReadLists(data)
	if err != nil {
		v.errorf("%s: %v", name, err)
		return nil
	}
	return lists
}

// subjects reads the accounts of certificates without a UPN.
func (o *object) subjects() map[string]string {
	v, ok := o.get("subjects")
	if !ok {
		return nil
	}
	out := map[string]string{}
	for _, item := range v.items() {
		s, ok := item.object()
		if !ok {
			continue
		}
		subject := s.needWord("subject", "the whole subject, such as CN=batch-7,OU=Services,O=Corp")
		account := s.needWord("account", "the account that the certificate proves")
		s.done()
		if _, twice := out[subject]; twice && subject != "" {
			s.fields["subject"].errorf("%q is listed twice: remove one", subject)
		}
		out[subject] = account
	}
	return out
}

// clientCertificates never has a certificate's key, for there is none.
func (d *diff) clientCertificates(before, after *Config) {
	b, a := before.ClientCertificates, after.ClientCertificates
	d.set("client_certificates", "authorities", authorityNames(b.Authorities), authorityNames(a.Authorities))
	d.set("client_certificates", "revocation lists", listNames(b.Lists), listNames(a.Lists))
	d.set("client_certificates", "subjects", subjectNames(b.Subjects), subjectNames(a.Subjects))
	of(d, "client_certificates: pins", pinNames(b.Pins), pinNames(a.Pins))
}

func authorityNames(list []*x509.Certificate) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.Subject.String()+" "+backend.KeyID(c))
	}
	return out
}

func listNames(l *certificate.Lists) []string {
	var out []string
	for _, s := range l.Spans() {
		out = append(out, s.Issuer+" of "+s.This.UTC().Format(time.RFC3339))
	}
	slices.Sort(out)
	return out
}

func subjectNames(m map[string]string) []string {
	var out []string
	for _, s := range sortedKeys(m) {
		out = append(out, strings.Join([]string{s, "is", m[s]}, " "))
	}
	return out
}
