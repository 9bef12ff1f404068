package backend

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// countingSigner is a key that counts its signatures, and can fail.
type countingSigner struct {
	crypto.Signer
	made atomic.Int32
	fail atomic.Bool
}

var errSigner = errors.New("the token was pulled out")

func (s *countingSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.fail.Load() {
		return nil, errSigner
	}
	s.made.Add(1)
	return s.Signer.Sign(r, digest, o)
}

func newAuthority(tb testing.TB, roles ...string) (*Authority, *countingSigner) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := NewAuthority("test", key, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	s := &countingSigner{Signer: key}
	return &Authority{Certificate: certificate, Signer: s, Lifetime: 10 * time.Minute, Roles: roles}, s
}

func unheard(Signature) error { return nil }

// One signature serves a principal in a role for a certificate's lifetime, however
// many log in at once.
func TestOneSignature(t *testing.T) {
	a, signer := newAuthority(t, "reads", "writes")
	c := newCertificates(a, time.Second)
	now := time.Now()
	c.now = func() time.Time { return now }
	var announced atomic.Int32
	get := func(principal, role string) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := c.get(&Login{Role: role, Principal: principal, Signing: func(Signature) error { announced.Add(1); return nil }})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	for i, step := range []func(){
		func() { get("alice@corp", "reads") },
		func() { get("alice@corp", "writes") },
		func() { get("bob@corp", "reads") },
		func() { now = now.Add(a.Lifetime); get("alice@corp", "reads") },
	} {
		step()
		if want := int32(i + 1); signer.made.Load() != want || announced.Load() != want {
			t.Fatalf("step %d: %d signatures, %d announced", i, signer.made.Load(), announced.Load())
		}
	}
	now = now.Add(a.Lifetime - time.Second)
	get("ALICE@corp", "reads")
	if signer.made.Load() != 4 {
		t.Error("one was signed while another was good")
	}
}

func TestCertificateIsWhatIsAskedFor(t *testing.T) {
	a, _ := newAuthority(t, "reads")
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	for _, name := range hostileNames {
		var told Signature
		c, err := newCertificates(a, time.Minute).get(&Login{Role: "reads", Principal: name, Signing: func(s Signature) error { told = s; return nil }})
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
		if m := pattern.FindStringSubmatch(leaf.Subject.String()); m == nil || m[1] != "reads" || leaf.IsCA {
			t.Errorf("%s", leaf.Subject)
		}
		if told.Principal != leaf.Subject.CommonName || told.Serial != leaf.SerialNumber.String() || !told.NotAfter.Truncate(time.Second).Equal(leaf.NotAfter) ||
			told.Authority != KeyID(a.Certificate) {
			t.Errorf("announced %+v, signed %s %s", told, leaf.Subject, leaf.SerialNumber)
		}
		if life := time.Until(leaf.NotAfter); life > a.Lifetime+time.Minute {
			t.Errorf("good for %s", life)
		}
	}
}

// Nothing is signed for a role that no rule names, for nobody, past the authority's
// end, or when the signature cannot be put on record.
func TestNothingIsSigned(t *testing.T) {
	a, signer := newAuthority(t, "reads", "Odd,Role")
	errJournal := errors.New("the journal is full")
	now := time.Now()
	for what, l := range map[string]*Login{
		"another role":       {Role: "dba_admin", Principal: "alice@corp", Signing: unheard},
		"an odd role":        {Role: "Odd,Role", Principal: "alice@corp", Signing: unheard},
		"nobody":             {Role: "reads", Signing: unheard},
		"no record":          {Role: "reads", Principal: "alice@corp", Signing: func(Signature) error { return errJournal }},
		"an authority's end": {Role: "reads", Principal: "ended@corp", Signing: unheard},
	} {
		c := newCertificates(a, time.Second)
		c.now = func() time.Time {
			if l.Principal == "ended@corp" {
				return a.Certificate.NotAfter.Add(time.Second)
			}
			return now
		}
		if _, err := c.get(l); err == nil {
			t.Errorf("%s: signed", what)
		}
	}
	if n := signer.made.Load(); n != 0 {
		t.Errorf("%d signatures", n)
	}
	c := newCertificates(a, time.Second)
	c.now = func() time.Time { return a.Certificate.NotAfter.Add(-time.Minute) }
	got, err := c.get(&Login{Role: "reads", Principal: "alice@corp", Signing: unheard})
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := x509.ParseCertificate(got.Certificate[0]); err != nil || leaf.NotAfter.After(a.Certificate.NotAfter) {
		t.Errorf("outlives its authority: %v", err)
	}
}

// A signer that fails is asked again by the next log-in.
func TestSignerFails(t *testing.T) {
	a, signer := newAuthority(t, "reads")
	c := newCertificates(a, time.Second)
	signer.fail.Store(true)
	l := &Login{Role: "reads", Principal: "alice@corp", Signing: unheard}
	if _, err := c.get(l); !errors.Is(err, errSigner) {
		t.Fatal(err)
	}
	signer.fail.Store(false)
	if _, err := c.get(l); err != nil {
		t.Fatal(err)
	}
}

// What is kept has a bound, and what has ended goes first.
func TestCertificatesAreForgotten(t *testing.T) {
	a, _ := newAuthority(t, "reads")
	c := newCertificates(a, time.Second)
	now := time.Now()
	c.now = func() time.Time { return now }
	for i := range mostKnown {
		c.known[holder{fmt.Sprint(i), "reads"}] = &signed{until: now.Add(time.Duration(i%2) * time.Minute)}
	}
	c.place(holder{"one more", "reads"})
	if len(c.known) != mostKnown/2+1 {
		t.Errorf("%d are left", len(c.known))
	}
	for i := range 2 * mostKnown {
		c.place(holder{fmt.Sprint("more", i), "reads"}).until = now.Add(time.Hour)
	}
	if len(c.known) > mostKnown {
		t.Errorf("%d are kept", len(c.known))
	}
}

func BenchmarkSignature(b *testing.B) {
	a, _ := newAuthority(b, "reads")
	for b.Loop() {
		if _, err := a.sign("alice@corp.example.com", "reads", time.Now(), 0, unheard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignatureKept(b *testing.B) {
	a, _ := newAuthority(b, "reads")
	c := newCertificates(a, time.Second)
	l := &Login{Role: "reads", Principal: "alice@corp.example.com", Signing: unheard}
	for b.Loop() {
		if _, err := c.get(l); err != nil {
			b.Fatal(err)
		}
	}
}
