package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/directory"
)

// mostDomains bounds the domains: each is asked for the groups of others' people.
const mostDomains = 32

var domainSID = regexp.MustCompile(`^S-1-5-21(-[0-9]{1,10}){3}$`)

// several tells that each domain vouches for its own alone.
func (d *Directory) several() bool { return len(d.Domains) > 0 && d.Domains[0].SID != "" }

// readDomains reads a list of domains.
func (c *Config) readDomains(o *object) {
	v, ok := o.get("domains")
	if !ok {
		return
	}
	if v.emptyList() {
		v.errorf("names no domain: nobody could log in")
	}
	items := v.items()
	if len(items) > mostDomains {
		v.errorf("has %d domains, more than %d", len(items), mostDomains)
	}
	taken := taken{}
	for _, item := range items {
		d, ok := item.object()
		if !ok {
			continue
		}
		options := c.readDomain(d, credential{role: "domain"})
		options.SID = d.domainSID()
		d.done()
		taken.add(d, &options)
		c.Directory.Domains = append(c.Directory.Domains, options)
	}
	c.Directory.Home = c.defaultDomain(o)
}

func (o *object) domainSID() string {
	const unread = "S-1-5-21-0-0-0" // beside an error
	v, ok := o.need("sid", "the domain's SID, for it vouches for no other: (Get-ADDomain).DomainSID, or S-1-5-21-… without the last number of an account's")
	if !ok {
		return unread
	}
	s, ok := v.word()
	if !ok {
		return unread
	}
	if s = strings.ToUpper(s); !domainSID.MatchString(s) {
		v.errorf("%q is not the SID of a domain: S-1-5-21 and three numbers", s)
		return unread
	}
	return s
}

// defaultDomain reads which domain names without one are of.
func (c *Config) defaultDomain(o *object) string {
	v, ok := o.get("default")
	if !ok {
		return ""
	}
	s, ok := v.word()
	if !ok {
		return ""
	}
	var all []string
	for i := range c.Directory.Domains {
		d := &c.Directory.Domains[i]
		if strings.EqualFold(s, d.Domain) || strings.EqualFold(s, d.NetBIOS) {
			return d.Domain
		}
		all = append(all, d.Domain)
	}
	v.errorf("there is no domain %q among domains: %s", s, strings.Join(all, ", "))
	return ""
}

// taken are the names that tell domains apart, with where they were given.
type taken map[string]value

// add complains about names that another domain has: what they mean would hang on the
// order of the list.
func (t taken) add(o *object, d *directory.Options) {
	at := func(key string) value {
		if v, given := o.fields[key]; given {
			return v
		}
		return o.value
	}
	one := func(kind, name string, v value) {
		if name == "" {
			return
		}
		key := kind + " " + strings.ToLower(name)
		if other, twice := t[key]; twice {
			v.errorf("%q is a %s of the domain in line %d too: no two domains share one", name, kind, other.at.Line)
			return
		}
		t[key] = v
	}
	one("UPN suffix", d.Domain, at("domain"))
	one("NetBIOS name", d.NetBIOS, at("netbios"))
	if o.has("sid") {
		one("SID", d.SID, at("sid"))
	}
	if v, given := o.fields["upn_suffixes"]; given {
		for i, s := range d.Suffixes {
			item := v
			if items := v.items(); i < len(items) {
				item = items[i]
			}
			one("UPN suffix", s, item)
		}
	}
}

// readDomainsAlone reads the names of domains, where there are several, for whoever
// reads the rules alone.
func (c *Config) readDomainsAlone(root *object) {
	if v, ok := root.fields["directory"]; ok {
		if o, ok := v.object(); ok && o.has("domains") {
			c.readDomains(o)
		}
	}
}

// named finds a domain by its NetBIOS name.
func (d *Directory) named(netbios string) *directory.Options {
	for i := range d.Domains {
		if strings.EqualFold(d.Domains[i].NetBIOS, netbios) {
			return &d.Domains[i]
		}
	}
	return nil
}

// suffixed finds a domain by a UPN suffix.
func (d *Directory) suffixed(suffix string) *directory.Options {
	for i := range d.Domains {
		o := &d.Domains[i]
		if strings.EqualFold(o.Domain, suffix) || containsFold(o.Suffixes, suffix) {
			return o
		}
	}
	return nil
}

// domainOf finds the domain of a name that rules call an account or group by.
func (d *Directory) domainOf(handle string) *directory.Options {
	if netbios, _, found := strings.Cut(handle, `\`); found {
		return d.named(netbios)
	}
	for i := range d.Domains {
		if d.Domains[i].Domain == d.Home {
			return &d.Domains[i]
		}
	}
	return nil
}

// handle turns what a rule calls a group or account by into what one matches: the
// domain stands in front of a name where that is not the default one. The error says
// that it could be of any domain, or is of none.
func (c *Config) handle(s string) (string, error) {
	d := &c.Directory
	if !d.several() || s == "" || sid.MatchString(s) || strings.Contains(s, "=") {
		return s, nil
	}
	if netbios, name, found := strings.Cut(s, `\`); found {
		o := d.named(netbios)
		switch {
		case o == nil:
			return s, fmt.Errorf("%q: there is no domain with the NetBIOS name %q among directory.domains", s, netbios)
		case name == "":
			return s, fmt.Errorf("%q: a name is missing behind the domain", s)
		case o.Domain == d.Home:
			return name, nil
		}
		return o.NetBIOS + `\` + name, nil
	}
	if _, suffix, found := strings.Cut(s, "@"); found {
		if d.suffixed(suffix) == nil {
			return s, fmt.Errorf("%q: there is no domain with the UPN suffix %q among directory.domains", s, suffix)
		}
		return s, nil
	}
	if d.Home == "" {
		return s, fmt.Errorf(`%q could be of any domain: write DOMAIN\%s, or set directory.default`, s, s)
	}
	return s, nil
}

// accountOf is the handle, as Services has them, of the account that a name in any form
// means by its form alone.
func (c *Config) accountOf(name string) (string, error) {
	name = auth.FoldName(name)
	if !c.Directory.several() {
		return bareAccount(name), nil
	}
	h, err := c.handle(name)
	account, suffix, found := strings.Cut(h, "@")
	if err != nil || !found || strings.Contains(account, `\`) {
		return h, err
	}
	if d := c.Directory.suffixed(suffix); d != nil {
		return c.handle(d.NetBIOS + `\` + account)
	}
	return h, nil
}

// Service returns what the account is declared with as a service, by its name.
func (d *Directory) Service(id *auth.Identity) (auth.Terms, bool) {
	key := auth.FoldName(id.Account)
	if id.Qualified {
		key = id.NetBIOS + `\` + key
	}
	t, declared := d.Services[key]
	return t, declared
}

// Place tells of which domain the account of a case is, by the name that it has there,
// and what its groups are called.
func (c *Config) Place(id *auth.Identity, name string) error {
	if !c.Directory.several() {
		return nil
	}
	h, err := c.accountOf(name)
	if err != nil {
		return err
	}
	if o := c.Directory.domainOf(h); o != nil {
		id.Domain, id.NetBIOS, id.Qualified = o.Domain, o.NetBIOS, o.Domain != c.Directory.Home
	}
	id.Account = bareAccount(h)
	for i := range id.Groups {
		if id.Groups[i].Name, err = c.handle(id.Groups[i].Name); err != nil {
			return err
		}
	}
	return nil
}

// domains tells the domains that are added, removed and changed.
func (d *diff) domains(before, after *Config) {
	of(d, "directory: default", before.Directory.Home, after.Directory.Home)
	was, is := map[string]*directory.Options{}, map[string]*directory.Options{}
	all := map[string]bool{}
	for m, c := range map[*map[string]*directory.Options]*Config{&was: before, &is: after} {
		for i := range c.Directory.Domains {
			o := &c.Directory.Domains[i]
			(*m)[o.Domain], all[o.Domain] = o, true
		}
	}
	for _, name := range sortedKeys(all) {
		b, a, what := was[name], is[name], "directory: domain "+name
		switch {
		case b == nil:
			d.addf("%s: added (%s, %s)", what, a.NetBIOS, a.SID)
		case a == nil:
			d.addf("%s: removed", what)
		default:
			d.domain(what, b, a)
			of(d, what+": the bind password is read from", before.secretOf(name), after.secretOf(name))
		}
	}
}

// secretOf tells where the reading account's password of a domain is read from.
func (c *Config) secretOf(domain string) origin {
	if c.Directory.several() {
		return c.origins[credential{role: domain}]
	}
	return c.origins[credential{}]
}
