package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func names(list ...[]byte) []byte {
	var all []byte
	for _, n := range list {
		all = append(all, n...)
	}
	der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: all})
	if err != nil {
		panic(err)
	}
	return der
}

func upn(s string) []byte { return testkit.OtherName(oidUPN, asn1.TagUTF8String, s) }

var dnsName = []byte{0x82, 1, 'x'}

func TestOtherName(t *testing.T) {
	alice := upn("alice@corp")
	for what, tt := range map[string]struct {
		der  []byte
		want string
		good bool
	}{
		"one":               {names(alice), "alice@corp", true},
		"behind others":     {names(dnsName, testkit.OtherName(asn1.ObjectIdentifier{1, 2, 3}, asn1.TagUTF8String, "bob"), alice, dnsName), "alice@corp", true},
		"none":              {names(dnsName), "", true},
		"two":               {names(alice, upn("bob@corp")), "", false},
		"twice the same":    {names(alice, alice), "", false},
		"empty":             {names(upn("")), "", false},
		"too long":          {names(upn(strings.Repeat("x", mostName+1))), "", false},
		"not UTF-8":         {names(upn("\xff")), "", false},
		"another string":    {names(testkit.OtherName(oidUPN, asn1.TagPrintableString, "alice")), "", false},
		"bytes behind":      {append(names(alice), 0), "", false},
		"cut":               {names(alice)[:20], "", false},
		"no list":           {alice, "", false},
		"an unknown length": {[]byte{0x30, 0x80, 0, 0}, "", false},
	} {
		got, err := otherName(tt.der, oidUPN, asn1.TagUTF8String)
		if got != tt.want || (err == nil) != tt.good {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// FuzzNames: what is read of any bytes is one name that stands in them.
func FuzzNames(f *testing.F) {
	for _, seed := range [][]byte{
		nil,
		{0x30, 0x80, 0, 0},
		names(upn("alice@corp")),
		names(dnsName, upn("zoë@corp")),
		names(upn("a"), upn("b")),
		names(testkit.OtherName(oidSecuritySID, asn1.TagOctetString, "S-1-5-21-1-2-3-1104")),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, kind := range []struct {
			extension, name asn1.ObjectIdentifier
			tag             int
		}{{oidSubjectAltName, oidUPN, asn1.TagUTF8String}, {oidSecurity, oidSecuritySID, asn1.TagOctetString}} {
			c := &x509.Certificate{
				Extensions:                  []pkix.Extension{{Id: kind.extension, Critical: true, Value: der}},
				UnhandledCriticalExtensions: []asn1.ObjectIdentifier{kind.extension},
			}
			n, err := readNames(c)
			if err != nil {
				if n != (accountNames{}) || len(c.UnhandledCriticalExtensions) != 1 {
					t.Fatalf("%v, and yet %+v", err, n)
				}
				continue
			}
			got := n.upn + n.sid
			if len(c.UnhandledCriticalExtensions) != 0 || len(got) > mostName || !utf8.ValidString(got) || !strings.Contains(string(der), got) {
				t.Fatalf("%q of %x", got, der)
			}
			if got != "" && strings.Count(string(der), string(testkit.OtherName(kind.name, kind.tag, got))) != 1 {
				t.Logf("%q stands there in another encoding", got)
			}
		}
	})
}

// FuzzCertificate: nothing that a client shows makes the reader fail, or proves
// anything to an authority that has not signed it.
func FuzzCertificate(f *testing.F) {
	ours, err := testkit.NewCA("ours")
	if err != nil {
		f.Fatal(err)
	}
	theirs, err := testkit.NewCA("ours")
	if err != nil {
		f.Fatal(err)
	}
	for _, leaf := range []testkit.Leaf{{CommonName: "a", UPN: "alice@corp"}, {CommonName: "b", SID: "S-1-5-21-1", UPN: "b@corp"}, {CommonName: "c", Authority: true}} {
		c, err := theirs.Issue(leaf)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.TLS.Certificate[0])
	}
	v := New(Options{Authorities: []*x509.Certificate{ours.Cert}})
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if shown, err := v.Verify([]*x509.Certificate{c, c}); err == nil || shown.Name != "" {
			t.Fatalf("%+v is believed", shown)
		}
	})
}

// FuzzLists: no list makes the reader fail.
func FuzzLists(f *testing.F) {
	ca, err := testkit.NewCA("ours")
	if err != nil {
		f.Fatal(err)
	}
	crl, err := ca.Revoke(ca.Cert.NotAfter)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(crl)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ReadLists(data)
		if err == nil && len(l.Spans()) == 0 {
			t.Error("a file without a list is taken")
		}
	})
}
