package testkit

import (
	"crypto/x509"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestCertificates(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	leaf := Leaf{CommonName: "x", Names: []string{"db.example.com"}, Addresses: []netip.Addr{netip.MustParseAddr("127.1.2.3")}}
	good := issue(t, ca, leaf)
	leaf.NotAfter = time.Now().Add(-time.Hour)
	expired := issue(t, ca, leaf)
	for _, test := range []struct {
		what string
		cert *Certificate
		ca   *CA
		name string
		ok   bool
	}{
		{"by name", good, ca, "db.example.com", true},
		{"by address", good, ca, "127.1.2.3", true},
		{"another name", good, ca, "other.example.com", false},
		{"another CA", good, other, "db.example.com", false},
		{"expired", expired, ca, "db.example.com", false},
	} {
		_, err := test.cert.TLS.Leaf.Verify(x509.VerifyOptions{Roots: test.ca.Pool(), DNSName: test.name})
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.what, err)
		}
	}
	_, keyFile, err := good.Write(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
}

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *CA, leaf Leaf) *Certificate {
	t.Helper()
	c, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
