package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/auth/throttle"
)

// Directory is who knows the users: one domain, or several.
type Directory struct {
	Domains []directory.Options // in the order of the file
	// Home is the DNS name of the domain that names without one are of; empty for none.
	Home string
	// Services are all declared ones, by the name that rules call the account by, the
	// account in lower case: svc-orders, OTHER\svc-orders. Each domain has its own among
	// its options.
	Services map[string]auth.Terms
	// Guesses is what is said of wrong passwords, for every domain.
	Guesses throttle.Policy
	// Recheck is the shortest of the domains'.
	Recheck time.Duration
}

func (c *Config) readDirectory(root *object) {
	v, ok := root.need("directory", "the domain that knows the users")
	if !ok {
		return
	}
	o, ok := v.object()
	if !ok {
		return
	}
	if o.has("domains") {
		c.readDomains(o)
	} else {
		d := c.readDomain(o, credential{})
		c.Directory.Domains, c.Directory.Home = []directory.Options{d}, d.Domain
	}
	o.done()
	for i := range c.Directory.Domains {
		if r := c.Directory.Domains[i].Recheck; i == 0 || r < c.Directory.Recheck {
			c.Directory.Recheck = r
		}
	}
}

// readDomain reads what there is to know of a domain.
func (c *Config) readDomain(o *object, secret credential) directory.Options {
	d := directory.Options{
		Domain:  strings.ToLower(o.hostName("domain", "the DNS name of the domain, such as corp.example.com")),
		Timeout: o.duration("timeout", 5*time.Second, 100*time.Millisecond, time.Minute),
	}
	first, _, _ := strings.Cut(d.Domain, ".")
	d.NetBIOS = o.netbios(strings.ToUpper(first))
	d.StartTLS = o.truth("starttls")
	d.Controllers, d.Discover = o.controllers(d.StartTLS)
	d.NameServer = o.nameServer(d.Discover)
	d.CA = o.pool()
	d.ServerName = o.serverName()
	d.BindName = o.needWord("bind_name", "the account that reads others, such as svc-pgcustos@corp.example.com")
	if read, from, ok := o.secret("bind_password"); ok {
		d.BindPassword = read
		if secret.role != "" {
			secret.role = d.Domain
		}
		c.origins[secret] = from
	}
	d.Recheck = o.duration("recheck", time.Minute, time.Second, day)
	d.Suffixes = o.suffixes()
	return d
}

// suffixes reads the UPN suffixes of a domain beside its name.
func (o *object) suffixes() []string {
	v, ok := o.get("upn_suffixes")
	if !ok {
		return nil
	}
	var out []string
	for _, item := range v.words() {
		s := text(item.node)
		if !isHost(s) {
			item.errorf("%q is not a UPN suffix: write what stands behind the @, such as corp.example.com", s)
		}
		out = append(out, strings.ToLower(s))
	}
	return out
}

func (o *object) netbios(otherwise string) string {
	v, ok := o.get("netbios")
	if !ok {
		return otherwise
	}
	s, ok := v.word()
	if ok && (!isLabel(s) || len(s) > 15) {
		v.errorf("%q is not a NetBIOS domain name: at most 15 letters, digits and -, such as CORP", s)
	}
	return strings.ToUpper(s)
}

func (o *object) hostName(key, why string) string {
	v, ok := o.need(key, why)
	if !ok {
		return ""
	}
	s, ok := v.word()
	if ok && !isHost(s) {
		v.errorf("%q is not a DNS name", s)
	}
	return s
}

// serverName reads the name that a certificate must bear instead of the host's.
func (o *object) serverName() string {
	v, ok := o.get("server_name")
	if !ok {
		return ""
	}
	s, ok := v.str()
	if ok && s != "" && !isHost(s) {
		v.errorf("%q is not a DNS name", s)
	}
	return s
}

// controllers reads where the controllers are: a list, or the word dns.
func (o *object) controllers(startTLS bool) (list []string, discover bool) {
	v, ok := o.need("controllers", "the domain controllers, such as [ldaps://dc1.corp.example.com:636], or dns for those that DNS names")
	if !ok {
		return nil, false
	}
	if kind(v.node) == "a string" {
		if s := text(v.node); s != "dns" {
			v.errorf("%q: write a list of controllers, or dns for those that DNS names", s)
		}
		return nil, true
	}
	if v.emptyList() {
		v.errorf("names no controller")
	}
	for _, item := range v.words() {
		if s, ok := item.controller(startTLS); ok {
			list = append(list, s)
		}
	}
	return list, false
}

// nameServer reads which name server is asked for controllers, where that is not the
// system's.
func (o *object) nameServer(discover bool) string {
	v, ok := o.get("dns_server")
	if !ok {
		return ""
	}
	s, ok := v.word()
	if !ok {
		return ""
	}
	at, err := netip.ParseAddrPort(s)
	if a, addrErr := netip.ParseAddr(s); addrErr == nil {
		at, err = netip.AddrPortFrom(a, 53), nil
	}
	switch {
	case err != nil || at.Port() == 0:
		v.errorf("%q is not the address of a name server: write 10.0.0.2 or 10.0.0.2:53", s)
	case !discover:
		v.errorf("nobody asks it: the controllers are listed. Write controllers: dns, or remove it")
	}
	return at.String()
}

func (v value) controller(startTLS bool) (string, bool) {
	s := text(v.node)
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		v.errorf("%q is not the address of a controller: write ldaps://host:636", s)
		return "", false
	case u.Scheme == "ldap" && !startTLS:
		v.errorf("passwords are checked over this connection, so it has to be ldaps://%s, or StartTLS: set starttls: true", u.Hostname())
		return "", false
	case u.Scheme != "ldaps" && u.Scheme != "ldap":
		v.errorf("%q is not ldaps://", s)
		return "", false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldaps": "636", "ldap": "389"}[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		v.errorf("%q is not a port: from 1 to 65535", port)
		return "", false
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port), true
}

// pool reads the file of CA certificates.
func (o *object) pool() *x509.CertPool {
	v, ok := o.get("ca")
	if !ok {
		if !o.has("ca") {
			o.errorf("\"ca\" is missing: the file of the CA that signed the other side's certificate, PEM")
		}
		return nil
	}
	if o.l.alone {
		return x509.NewCertPool()
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
	pool := x509.NewCertPool()
	last := time.Time{}
	for _, certificate := range list {
		pool.AddCert(certificate)
		if certificate.NotAfter.After(last) {
			last = certificate.NotAfter
		}
	}
	if o.l.trusted == nil {
		o.l.trusted = map[string]time.Time{}
	}
	o.l.trusted[text(v.node)] = last
	return pool
}
