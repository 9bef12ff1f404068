package syslog_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit/sink/syslog"
)

func TestProbe(t *testing.T) {
	ca := newCA(t)
	r := newRsyslog(t, ca, withTLS)
	s := syslog.New(r.options(ca))
	p, err := s.Probe(t.Context())
	if err != nil || p.Certificate == nil || p.Certificate.Subject.CommonName != "siem" {
		t.Errorf("%+v, %v", p, err)
	}
	o := r.options(newCA(t))
	if _, err := syslog.New(o).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another CA: %v", err)
	}
	r.stop()
	if _, err := s.Probe(t.Context()); err == nil {
		t.Error("a server that is gone answers")
	}
	if got := r.received(t); len(got) != 0 {
		t.Errorf("a probe delivered %q", got)
	}
}

// TestProbeWithoutCertificate: under TLS 1.3 a server complains of a missing
// certificate after the client's side of the handshake is done.
func TestProbeWithoutCertificate(t *testing.T) {
	ca := newCA(t)
	r := newRsyslog(t, ca, strings.Replace(withTLS, `"anon"`, `"x509/certvalid"`, 1))
	if _, err := syslog.New(r.options(ca)).Probe(t.Context()); err == nil {
		t.Error("the server asks for a certificate, the probe has none, and is content")
	}
	o := r.options(ca)
	pair, err := tls.LoadX509KeyPair(r.dir+"/server.crt", r.dir+"/server.key")
	if err != nil {
		t.Fatal(err)
	}
	o.TLS.Certificates = []tls.Certificate{pair}
	if _, err := syslog.New(o).Probe(t.Context()); err != nil {
		t.Error(err)
	}
}
