package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
)

// both is a section of two domains, from line 29 of the example on.
const both = `directory:
  default: CORP
  domains:
    - domain: corp.example.com
      netbios: CORP
      sid: S-1-5-21-1-2-3
      upn_suffixes: [brand.example]
      controllers: [ldaps://dc1.corp.example.com:636]
      ca: corp-ca.pem
      bind_name: svc-pgcustos@corp.example.com
      bind_password_file: bind.password
    - domain: Other.Example
      sid: s-1-5-21-4-5-6
      controllers: [ldaps://dc1.other.example]
      ca: corp-ca.pem
      bind_name: OTHER\svc-pgcustos
      bind_password_file: app_rw_orders.password
      recheck: 30s
`

// several is the example with two domains.
func several(t testing.TB) string {
	t.Helper()
	s := example(t)
	from := strings.Index(s, "directory:\n")
	to := strings.Index(s, "\nservices:")
	if from < 0 || to < from {
		t.Fatal("the example has no directory before its services")
	}
	return s[:from] + both + s[to:]
}

func TestDomains(t *testing.T) {
	text := strings.Replace(several(t), "groups: [APP-Orders-Readers]", `groups: [APP-Orders-Readers, 'CORP\Desk', 'other\Desk', S-1-5-21-4-5-6-1105, "CN=X,DC=other,DC=example"]
    accounts: ['corp\bob', 'OTHER\bob', bob@brand.example, bob@other.example]`, 1)
	text = strings.Replace(text, "\nservices: ", "\nservices:\n  - {account: 'other\\svc-orders', owner: 'OTHER\\alice', purpose: x} # ", 1)
	dir := folder(t)
	c := mustLoad(t, dir, text)
	d := c.Directory
	if len(d.Domains) != 2 || d.Home != "corp.example.com" || d.Recheck.Seconds() != 30 {
		t.Fatalf("%+v", d)
	}
	if o := d.Domains[1]; o.Domain != "other.example" || o.NetBIOS != "OTHER" || o.SID != "S-1-5-21-4-5-6" || o.Controllers[0] != "ldaps://dc1.other.example:636" || o.Guesses.PerSource == 0 {
		t.Errorf("%+v", o)
	}
	if _, there := d.Domains[1].Services["svc-orders"]; !there || len(d.Services) != 2 {
		t.Errorf("services %v, of OTHER %v", d.Services, d.Domains[1].Services)
	}
	if terms := d.Domains[0].Services["svc-orders"]; terms.Owner != "alice@corp.example.com" {
		t.Errorf("of CORP %v", d.Domains[0].Services)
	}
	want := []string{"APP-Orders-Readers", "Desk", `OTHER\Desk`, "S-1-5-21-4-5-6-1105", "CN=X,DC=other,DC=example"}
	if got := c.Rules[1].Groups; !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
	if got, want := c.Rules[1].Accounts, []string{"bob", `OTHER\bob`, "bob@brand.example", "bob@other.example"}; !slices.Equal(got, want) {
		t.Errorf("accounts %v, want %v", got, want)
	}
	if !slices.ContainsFunc(c.Warnings, func(s string) bool { return strings.Contains(s, "postgres/…@OTHER.EXAMPLE") }) {
		t.Errorf("nobody warns of the key that is missing: %v", c.Warnings)
	}
	alone, err := LoadRules(filepath.Join(dir, "pgcustos.yaml"))
	if err != nil || !slices.Equal(alone.Rules[1].Groups, want) {
		t.Errorf("read alone: %v", err)
	}
	id := auth.Identity{Groups: []auth.Group{{Name: `CORP\Desk`}, {Name: `OTHER\Desk`}}}
	if err := c.Place(&id, "bob@other.example"); err != nil || id.Handle() != `OTHER\bob` || id.Groups[0].Name != "Desk" || id.Groups[1].Name != `OTHER\Desk` {
		t.Errorf("%+v, %v", id, err)
	}
}

// TestDomainsErrors: whatever could mean two domains, or none, is said with its place.
func TestDomainsErrors(t *testing.T) {
	dir := folder(t)
	same := string(mustRead(t, filepath.Join(dir, "postgres.keytab")))
	otherKey := keytab("OTHER.EXAMPLE", "postgres", 18)[2:]
	write(t, filepath.Join(dir, "same.keytab"), same+otherKey, 0o600)
	for _, c := range []struct{ name, old, new, want string }{
		{"domain twice", "domain: Other.Example", "domain: corp.example.com", `:42:15: directory.domains[1].domain: "corp.example.com" is a UPN suffix of the domain in line 34 too`},
		{"netbios twice", "sid: s-1", "netbios: corp\n      sid: s-1", `:43:16: directory.domains[1].netbios: "CORP" is a NetBIOS name of the domain in line 35 too`},
		{"suffix is a domain", "[brand.example]", "[brand.example, OTHER.example]", `:42:15: directory.domains[1].domain: "other.example" is a UPN suffix of the domain in line 37 too`},
		{"suffix twice", "recheck: 30s", "recheck: 30s\n      upn_suffixes: [a.example, Brand.example]", `:49:33: directory.domains[1].upn_suffixes[1]: "brand.example" is a UPN suffix`},
		{"sid twice", "s-1-5-21-4-5-6", "S-1-5-21-1-2-3", `:43:12: directory.domains[1].sid: "S-1-5-21-1-2-3" is a SID of the domain in line 36 too`},
		{"sid missing", "      sid: s-1-5-21-4-5-6\n", "", `:42:7: directory.domains[1]: "sid" is missing`},
		{"sid of an account", "s-1-5-21-4-5-6", "S-1-5-21-4-5-6-1104", `:43:12: directory.domains[1].sid: "S-1-5-21-4-5-6-1104" is not the SID of a domain`},
		{"suffix", "[brand.example]", "['@brand']", `:37:22: directory.domains[0].upn_suffixes[0]: "@brand" is not a UPN suffix`},
		{"default", "default: CORP", "default: CROP", `:32:12: directory.default: there is no domain "CROP" among domains: corp.example.com, other.example`},
		{"none", both[strings.Index(both, "  domains:"):], "  domains: []\n", `directory.domains: names no domain`},
		{"both forms", "  default: CORP", "  domain: corp.example.com\n  default: CORP", `directory.domain: unknown key`},
		{"bare group", "  default: CORP\n", "", `"APP-Orders-Readers" could be of any domain: write DOMAIN\APP-Orders-Readers, or set directory.default`},
		{"bare service", "  default: CORP\n", "", `services[0].account: "svc-orders" could be of any domain`},
		{"unknown domain", "groups: [APP-Orders-Readers]", `groups: ['EVIL\Readers']`, `there is no domain with the NetBIOS name "EVIL" among directory.domains`},
		{"unknown suffix", "groups: [APP-Orders-Readers]", `accounts: [bob@evil.example]`, `there is no domain with the UPN suffix "evil.example" among directory.domains`},
		{"service as an owner", "owner: alice@corp.example.com", `owner: 'CORP\svc-orders'`, `is declared as a service: a person has to answer for one`},
		{"owner of nothing", "owner: alice@corp.example.com", `owner: 'EVIL\a@b'`, `there is no domain with the NetBIOS name "evil"`},
		{"shared key", "keytab: postgres.keytab", "keytab: same.keytab", `have the same key, so that one domain could make tickets of the other`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := several(t)
			if !strings.Contains(text, c.old) {
				t.Fatalf("the example has no %q", c.old)
			}
			file := filepath.Join(dir, "pgcustos.yaml")
			write(t, file, strings.Replace(text, c.old, c.new, 1), 0o644)
			_, err := Load(file)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got:\n%v\nwant: %s", err, c.want)
			}
		})
	}
}

// TestOddNames: names that are of no form do not make the reader fail.
func TestOddNames(t *testing.T) {
	dir := folder(t)
	for _, name := range []string{`OTHER\a@b`, "CN=a@b", "S-1-5-21-1@x", "a@corp.example.com@b", `OTHER\`, "@", `\`, "@corp.example.com", `a@corp.example.com\b`} {
		text := strings.Replace(several(t), "owner: alice@corp.example.com", "owner: '"+name+"'", 1)
		text = strings.Replace(text, "groups: [APP-Orders-Readers]", "groups: ['"+name+"']\n    accounts: ['"+name+"']", 1)
		file := filepath.Join(dir, "pgcustos.yaml")
		write(t, file, text, 0o644)
		if c, err := Load(file); err == nil {
			_ = c.Place(&auth.Identity{}, name)
		}
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDomainsDiff(t *testing.T) {
	dir := folder(t)
	one, two := mustLoad(t, dir, example(t)), mustLoad(t, dir, several(t))
	got := Diff(one, two)
	for _, want := range []string{
		"directory: domain corp.example.com: sid: (none) becomes S-1-5-21-1-2-3", "directory: domain corp.example.com: upn_suffixes: (none) becomes brand.example",
		"directory: domain other.example: added (OTHER, S-1-5-21-4-5-6)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got:\n%s\nwithout: %s", got, want)
		}
	}
	without := mustLoad(t, dir, strings.Replace(several(t), "  default: CORP\n", "  default: other.example\n", 1))
	if got := Diff(two, without); !strings.Contains(got, "directory: default: corp.example.com becomes other.example") {
		t.Errorf("got:\n%s", got)
	}
}
