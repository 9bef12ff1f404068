package directory

import (
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

func TestParseName(t *testing.T) {
	d := openDirectory(t, testOptions(nil, "ldaps://127.0.0.1:1"))
	const malformed, unknown = auth.CauseMalformedName, auth.CauseNoSuchAccount
	for typed, want := range map[string]struct {
		name
		cause auth.Cause
	}{
		"alice":                    {name{"alice", "alice@corp.example.com"}, ""},
		"Alice@CORP.EXAMPLE.COM":   {name{"Alice", "Alice@CORP.EXAMPLE.COM"}, ""},
		`corp\alice`:               {name{account: "alice"}, ""},
		"zoë":                      {name{"zoë", "zoë@corp.example.com"}, ""},
		"a b":                      {name{"a b", "a b@corp.example.com"}, ""},
		"":                         {cause: malformed},
		" alice":                   {cause: malformed},
		"alice ":                   {cause: malformed},
		"alice\u00a0":              {cause: malformed},
		"al\x00ice":                {cause: malformed},
		"alice\n":                  {cause: malformed},
		"al\x1b[31mice":            {cause: malformed},
		"al\u202eice":              {cause: malformed}, // turns the direction of writing
		"al\u200bice":              {cause: malformed}, // invisible
		"al\xffice":                {cause: malformed},
		"@corp.example.com":        {cause: malformed},
		"alice@":                   {cause: malformed},
		"alice@x@corp.example.com": {cause: malformed},
		`CORP\`:                    {cause: malformed},
		`\alice`:                   {cause: malformed},
		`CORP\CORP\alice`:          {cause: malformed},
		`CORP\alice@x`:             {cause: malformed},
		`EVIL\alice`:               {cause: unknown},
		"alice@evil.example.com":   {cause: unknown},
		"alice@example.com":        {cause: unknown},
		"alice@corp.example.com.":  {cause: unknown},
		strings.Repeat("a", 257):   {cause: malformed},
		strings.Repeat("a", 10240): {cause: malformed},
	} {
		got, failed := d.parseName(typed)
		cause := auth.CauseNone
		if failed != nil {
			cause = failed.Cause
		}
		if got != want.name || cause != want.cause {
			t.Errorf("%.40q: got %+v %q, want %+v %q", typed, got, cause, want.name, want.cause)
		}
	}
}

// FuzzFilter asserts that no name can reach beyond the value it stands for: the
// filter reads as equality with exactly what was typed.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"alice", "*", ")(x=y", `\2a`, "\x00", "zoë", `CORP\a*`, "a@corp.example.com"} {
		f.Add(seed)
	}
	d, err := Open(testOptions(nil, "ldaps://127.0.0.1:1"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		n, failed := d.parseName(typed)
		if failed != nil {
			return
		}
		p, err := ldap.CompileFilter(n.filter())
		if err != nil {
			t.Fatalf("%q: %v", n.filter(), err)
		}
		equalities := p.Children
		if n.upn == "" {
			equalities = []*ber.Packet{p}
		}
		for i, value := range []string{n.account, n.upn}[:len(equalities)] {
			e := equalities[i]
			if e.Tag != ldap.FilterEqualityMatch || e.Children[1].Data.String() != value {
				t.Errorf("%q became %s", typed, n.filter())
			}
		}
	})
}

func TestSIDText(t *testing.T) {
	for raw, want := range map[string]string{
		fakeSID(513): "S-1-5-21-1-2-3-513",
		"\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00": "S-1-5-32-544",
		"\x01\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00":                 "S-1-1-0",
		"\x01\x00\x01\x00\x00\x00\x00\x05":                                 "S-1-1099511627781",
		"\x01\x01\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff":                 "S-1-1-4294967295",
		"\x02\x00\x00\x00\x00\x00\x00\x05":                                 "",
		"\x01\x10\x00\x00\x00\x00\x00\x05" + strings.Repeat("\x00", 64):    "",
		"\x01\x01\x00\x00\x00\x00\x00\x05":                                 "",
		"":                                                                 "",
	} {
		got, err := sidText([]byte(raw))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%x: got %q, %v, want %q", raw, got, err, want)
		}
	}
}

func TestGUIDText(t *testing.T) {
	raw := "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
	if got, err := guidText([]byte(raw)); got != fakeGUID || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := guidText([]byte(raw[:15])); err == nil {
		t.Error("15 bytes are no GUID")
	}
	for _, s := range []string{"", "x", fakeGUID[:35], fakeGUID + "0", strings.Replace(fakeGUID, "0", ")", 1), strings.Repeat("-", 36)} {
		if checkGUID(s) == nil {
			t.Errorf("%q passes for a GUID", s)
		}
	}
}
