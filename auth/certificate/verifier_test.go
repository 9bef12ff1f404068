package certificate

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// pki is an authority with one below it, and a stranger of the same name.
type pki struct{ root, below, stranger *testkit.CA }

func newPKI(t *testing.T) *pki {
	t.Helper()
	var p pki
	var err error
	if p.root, err = testkit.NewCA("people"); err != nil {
		t.Fatal(err)
	}
	if p.below, err = p.root.IssueAuthority("people of the desk"); err != nil {
		t.Fatal(err)
	}
	if p.stranger, err = testkit.NewCA("people"); err != nil {
		t.Fatal(err)
	}
	return &p
}

func issue(t *testing.T, ca *testkit.CA, leaf testkit.Leaf) *testkit.Certificate {
	t.Helper()
	c, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func lists(t *testing.T, pems ...[]byte) *Lists {
	t.Helper()
	var all []byte
	for _, p := range pems {
		all = append(all, p...)
	}
	l, err := ReadLists(all)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func revoke(t *testing.T, ca *testkit.CA, next time.Time, revoked ...*testkit.Certificate) []byte {
	t.Helper()
	b, err := ca.Revoke(next, revoked...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func causeOf(err error) auth.Cause {
	var f *auth.Failure
	if errors.As(err, &f) {
		return f.Cause
	}
	return auth.CauseNone
}

var alice = testkit.Leaf{CommonName: "Alice Adams", UPN: "alice@corp.example.com"}

func TestVerify(t *testing.T) {
	p := newPKI(t)
	with := func(change func(*testkit.Leaf)) testkit.Leaf {
		l := alice
		change(&l)
		return l
	}
	now := time.Now()
	for name, tt := range map[string]struct {
		ca    *testkit.CA
		leaf  testkit.Leaf
		cause auth.Cause
		name  string
	}{
		"by UPN":          {p.root, alice, auth.CauseNone, "alice@corp.example.com"},
		"by an authority": {p.below, alice, auth.CauseNone, "alice@corp.example.com"},
		"by subject":      {p.root, testkit.Leaf{CommonName: "batch-7", Organization: "Corp"}, auth.CauseNone, "svc-orders"},
		"subject first":   {p.root, testkit.Leaf{CommonName: "batch-7", Organization: "Corp", UPN: "alice@corp.example.com"}, auth.CauseNone, "svc-orders"},
		"nobody":          {p.root, testkit.Leaf{CommonName: "alice@corp.example.com"}, auth.CauseCertificateNameless, ""},
		"another subject": {p.root, testkit.Leaf{CommonName: "batch-7", Organization: "Corp,O=Corp"}, auth.CauseCertificateNameless, ""},
		"two names":       {p.root, testkit.Leaf{FirstCommonName: "mallory", CommonName: "batch-7", Organization: "Corp"}, auth.CauseCertificateNameless, ""},
		"two, and a UPN":  {p.root, testkit.Leaf{FirstCommonName: "mallory", CommonName: "batch-7", Organization: "Corp", UPN: "alice@corp.example.com"}, auth.CauseNone, "alice@corp.example.com"},
		"a stranger":      {p.stranger, alice, auth.CauseCertificateUntrusted, ""},
		"expired":         {p.root, with(func(l *testkit.Leaf) { l.NotAfter = now.Add(-time.Minute) }), auth.CauseCertificateExpired, ""},
		"to come":         {p.root, with(func(l *testkit.Leaf) { l.NotBefore = now.Add(time.Hour) }), auth.CauseCertificateEarly, ""},
		"of a server":     {p.root, with(func(l *testkit.Leaf) { l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), auth.CauseCertificateUsage, ""},
		"of no use":       {p.root, with(func(l *testkit.Leaf) { l.Usages = []x509.ExtKeyUsage{} }), auth.CauseCertificateUsage, ""},
		"an authority":    {p.root, with(func(l *testkit.Leaf) { l.Authority = true }), auth.CauseCertificateUsage, ""},
	} {
		v := New(Options{Authorities: []*x509.Certificate{p.root.Cert}, Subjects: map[string]string{"CN=batch-7,O=Corp": "svc-orders"}})
		shown, err := v.Verify([]*x509.Certificate{issue(t, tt.ca, tt.leaf).TLS.Leaf, p.below.Cert})
		if causeOf(err) != tt.cause || shown.Name != tt.name || shown.Serial == "" || shown.Subject == "" {
			t.Errorf("%s: %v, %+v", name, err, shown)
		}
	}
	v := New(Options{Authorities: []*x509.Certificate{p.root.Cert}})
	leaf := issue(t, p.below, alice).TLS.Leaf
	if _, err := v.Verify([]*x509.Certificate{leaf}); causeOf(err) != auth.CauseCertificateUntrusted {
		t.Errorf("without the authority between: %v", err)
	}
	if _, err := v.Verify(nil); causeOf(err) != auth.CauseNoCertificate {
		t.Errorf("none: %v", err)
	}
	many := []*x509.Certificate{leaf, p.below.Cert, p.below.Cert, p.below.Cert, p.below.Cert, p.below.Cert, p.below.Cert, p.below.Cert, p.below.Cert}
	if _, err := v.Verify(many); causeOf(err) != auth.CauseCertificateMalformed {
		t.Errorf("too many: %v", err)
	}
}

// The SID that the domain's authority puts in is told, and the first end of the
// chain.
func TestShown(t *testing.T) {
	p := newPKI(t)
	l := alice
	l.SID, l.NotAfter = "S-1-5-21-1-2-3-1104", time.Now().AddDate(5, 0, 0)
	shown, err := New(Options{Authorities: []*x509.Certificate{p.root.Cert}}).Verify([]*x509.Certificate{issue(t, p.root, l).TLS.Leaf})
	if err != nil || shown.SID != l.SID || !shown.Ends.Equal(p.root.Cert.NotAfter) {
		t.Errorf("%+v, %v", shown, err)
	}
}

func TestRevocation(t *testing.T) {
	p := newPKI(t)
	soon := time.Now().Add(time.Hour)
	good, bad, deep := issue(t, p.root, alice), issue(t, p.root, alice), issue(t, p.below, alice)
	below := &testkit.Certificate{TLS: deep.TLS}
	below.TLS.Leaf = p.below.Cert
	for name, tt := range map[string]struct {
		lists *Lists
		leaf  *testkit.Certificate
		cause auth.Cause
	}{
		"no lists":           {nil, bad, auth.CauseNone},
		"not on it":          {lists(t, revoke(t, p.root, soon, bad)), good, auth.CauseNone},
		"on it":              {lists(t, revoke(t, p.root, soon, bad)), bad, auth.CauseCertificateRevoked},
		"the youngest":       {lists(t, revoke(t, p.root, time.Now().Add(-time.Hour), good), revoke(t, p.root, soon, bad)), good, auth.CauseNone},
		"the youngest first": {lists(t, revoke(t, p.root, soon, bad), revoke(t, p.root, time.Now().Add(-time.Hour), good)), good, auth.CauseNone},
		"ended":              {lists(t, revoke(t, p.root, time.Now().Add(-time.Hour))), good, auth.CauseRevocationUnknown},
		"a stranger's":       {lists(t, revoke(t, p.stranger, soon)), good, auth.CauseRevocationUnknown},
		"of its old key too": {lists(t, revoke(t, p.root, soon, bad), revoke(t, p.stranger, soon.Add(time.Hour))), bad, auth.CauseCertificateRevoked},
		"of its new key too": {lists(t, revoke(t, p.stranger, soon.Add(time.Hour), good), revoke(t, p.root, soon, bad)), good, auth.CauseNone},
		"of another issuer":  {lists(t, revoke(t, p.below, soon)), good, auth.CauseRevocationUnknown},
		"only of one":        {lists(t, revoke(t, p.root, soon)), deep, auth.CauseRevocationUnknown},
		"of both":            {lists(t, revoke(t, p.root, soon), revoke(t, p.below, soon)), deep, auth.CauseNone},
		"the authority":      {lists(t, revoke(t, p.root, soon, below), revoke(t, p.below, soon)), deep, auth.CauseCertificateRevoked},
	} {
		leaf, err := x509.ParseCertificate(tt.leaf.TLS.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		v := New(Options{Authorities: []*x509.Certificate{p.root.Cert}, Lists: tt.lists})
		for range 2 {
			if _, err := v.Verify([]*x509.Certificate{leaf, p.below.Cert}); causeOf(err) != tt.cause {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
