package backend

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostileNames are principals that try to reach beyond their CN.
var hostileNames = []string{
	"alice,OU=dba_admin,O=pgcustos",
	"x,OU=dba_admin,O=pgcustos\n",
	`x\,OU=dba_admin\,O=pgcustos`,
	"alice+OU=dba_admin",
	"CN=alice,OU=dba_admin",
	"alice\x00@corp.example.com",
	`"alice"@corp.example.com`,
	"#0403626262", "%check", "%2C", " alice ", ";<>=", "zoë.müller@corp.example.com",
	`o'pat(1)&!@corp.example.com`, "\u202ealice", strings.Repeat("ä", 85),
}

// pattern is what IdentPattern makes PostgreSQL match, which prints a subject from
// its end.
var pattern = regexp.MustCompile(`^CN=[^,]+,OU=([a-z0-9_]+),O=pgcustos$`)

func TestPatternIsTheOnePrinted(t *testing.T) {
	if !strings.Contains(IdentPattern, `"/`+pattern.String()+`"`) {
		t.Errorf("%s", IdentPattern)
	}
}

func TestCommonName(t *testing.T) {
	for name, want := range map[string]string{
		"alice@corp.example.com": "alice@corp.example.com",
		"Svc_Orders-1@CORP":      "svc_orders-1@corp",
		"zoë@x":                  "zo%C3%AB@x",
		"a,b":                    "a%2Cb",
		"%41":                    "%2541",
	} {
		if got, err := CommonName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", maxCommonName+1), strings.Repeat(",", maxCommonName/3+1)} {
		if got, err := CommonName(name); err == nil {
			t.Errorf("%d bytes: %q", len(name), got)
		}
	}
}

// FuzzCommonName: no name reaches into the pattern, and no two names are one.
func FuzzCommonName(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		cn, err := CommonName(name)
		if err != nil {
			return
		}
		if cn == prober {
			t.Error("taken for a probe")
		}
		printed := "CN=" + cn + ",OU=app_ro,O=pgcustos"
		if m := pattern.FindStringSubmatch(printed); m == nil || m[1] != "app_ro" {
			t.Errorf("%q: %v", printed, m)
		}
		lower := strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r - 'A' + 'a'
			}
			return r
		}, name)
		if back, err := url.PathUnescape(cn); err != nil || utf8.ValidString(name) && back != lower {
			t.Errorf("%q comes back as %q, %v", name, back, err)
		}
	})
}

func TestCertifiableRole(t *testing.T) {
	for role, want := range map[string]bool{"app_ro_orders": true, "r2": true, "": false, "App": false, "a-b": false, "a,OU=b": false, "ä": false, "a\n": false} {
		if CertifiableRole(role) != want {
			t.Errorf("%q: %t", role, !want)
		}
	}
}
