package config

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/proxy/backend"
)

const defaultPort = 5432

func (c *Config) readBackends(root *object) {
	v, ok := root.need("backends", "the PostgreSQL servers behind this proxy")
	if !ok {
		return
	}
	items := v.items()
	if v.emptyList() {
		v.errorf("names no backend")
	}
	first := map[string]value{}
	for _, item := range items {
		o, ok := item.object()
		if !ok {
			continue
		}
		b := c.readBackend(o)
		if at, given := o.fields["name"]; given && b.Name != "" {
			if other, twice := first[b.Name]; twice {
				at.errorf("the name %q is taken by the backend in line %d: choose another", b.Name, other.at.Line)
			} else {
				first[b.Name] = at
			}
		}
		c.Backends = append(c.Backends, b)
	}
}

func (c *Config) readBackend(o *object) backend.Options {
	b := backend.Options{
		Name:               o.label("what rules call this backend"),
		TargetSessionAttrs: o.oneOf("target_session_attrs", "any", "any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
		Tier:               o.tier(),
		ConnectTimeout:     o.duration("connect_timeout", 10*time.Second, 100*time.Millisecond, 5*time.Minute),
		Connections:        o.integer("connections", 0, 0, 1_000_000),
		OwnNames:           o.oneOf("application_name", "principal", "principal", "client") == "client",
	}
	b.Hosts = o.hosts()
	b.TLS = o.clientTLS(b.Hosts)
	byCertificate := o.oneOf("auth", authPassword, authPassword, authCertificate) == authCertificate
	if byCertificate {
		b.Authority = c.readAuthority(o, b.Name, b.Hosts)
	} else {
		b.Credentials = c.readCredentials(o, b.Name)
		if v, given := o.get("certificate"); given {
			v.errorf("is used with auth: certificate alone: add that, or remove this")
		}
	}
	c.readCatalog(o, &b, byCertificate)
	o.done()
	return b
}

func (o *object) tier() int {
	if _, ok := o.need("tier", "how sensitive the data are, from 0 (most) to 3: it sets the defaults of what is recorded how"); !ok {
		return 0
	}
	return o.integer("tier", 0, 0, 3)
}

// label reads the required name of a thing.
func (o *object) label(why string) string {
	v, ok := o.need("name", why)
	if !ok {
		return ""
	}
	s, ok := v.word()
	if ok && !isLabel(s) {
		v.errorf("%q: %s", s, labelHelp)
		return ""
	}
	return s
}

func (o *object) hosts() []backend.Host {
	v, ok := o.need("hosts", "where the server listens, such as [db1.corp.example.com:5432]")
	if !ok {
		return nil
	}
	if v.emptyList() {
		v.errorf("names no host")
	}
	var out []backend.Host
	for _, item := range v.words() {
		if h, ok := item.host(); ok {
			out = append(out, h)
		}
	}
	return out
}

// host reads name, name:port, [v6]:port, /directory or /directory:port.
func (v value) host() (backend.Host, bool) {
	s := text(v.node)
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); strings.HasPrefix(s, "/") && i > 0 {
		name, port = s[:i], s[i+1:]
	} else if h, p, err := net.SplitHostPort(s); err == nil {
		name, port = h, p
	}
	if port == "" && strings.HasSuffix(s, ":") {
		v.errorf("%q has no port behind the colon", s)
		return backend.Host{}, false
	}
	h := backend.Host{Host: name, Port: defaultPort}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			v.errorf("%q is not a port: from 1 to 65535", port)
			return backend.Host{}, false
		}
		h.Port = uint16(n)
	}
	if !strings.HasPrefix(name, "/") && net.ParseIP(name) == nil && !isHost(name) {
		v.errorf("%q is neither host:port nor the directory of a Unix socket", s)
		return backend.Host{}, false
	}
	return h, true
}

// clientTLS makes the verify-full configuration. There is no weaker one: a
// Unix socket is the only way to a backend without TLS.
func (o *object) clientTLS(hosts []backend.Host) *tls.Config {
	sockets := 0
	for _, h := range hosts {
		if strings.HasPrefix(h.Host, "/") {
			sockets++
		}
	}
	v, given := o.get("tls")
	switch {
	case len(hosts) > 0 && sockets == len(hosts):
		if given {
			v.errorf("is not used on Unix sockets: remove it")
		}
		return nil
	case sockets > 0:
		o.fields["hosts"].errorf("mixes Unix sockets and network hosts: make two backends of them")
		return nil
	case !given:
		if len(hosts) > 0 && !o.has("tls") {
			o.errorf("\"tls\" is missing: {ca: file}, the CA that signed the server's certificate; without TLS only a Unix socket is reached")
		}
		return nil
	}
	t, _ := v.object()
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		RootCAs:                t.pool(),
		ServerName:             t.serverName(), // empty: each host's own
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true,
	}
	t.done()
	return config
}

func (c *Config) readCredentials(o *object, name string) map[string]backend.Credential {
	v, ok := o.need("credentials", "how the proxy logs in as each role that rules name")
	if !ok {
		return nil
	}
	m, ok := v.object()
	if !ok {
		return nil
	}
	out := map[string]backend.Credential{}
	for _, role := range m.order {
		entry, ok := m.get(role)
		if !ok {
			continue
		}
		if !entry.roleName(role) {
			continue
		}
		e, ok := entry.object()
		if !ok {
			continue
		}
		// An entry whose password cannot be read is still an entry: the rules
		// that name the role are right.
		out[role] = nil
		if read, from, ok := e.secret("password"); ok {
			out[role] = backend.Password(read)
			c.origins[credential{name, role}] = from
		}
		e.done()
	}
	return out
}

// maxIdentifier is the length of a name in PostgreSQL: NAMEDATALEN - 1.
const maxIdentifier = 63

// roleName complains about names that no role can have.
func (v value) roleName(s string) bool {
	switch {
	case s == "":
		v.errorf("names no role")
	case len(s) > maxIdentifier:
		v.errorf("%q is longer than a role's name can be in PostgreSQL (%d bytes)", s, maxIdentifier)
	case strings.HasPrefix(s, "pg_"):
		v.errorf("%q: PostgreSQL reserves role names that begin with pg_ for itself (CREATE ROLE refuses them): leave the prefix off, %s", s, strings.TrimPrefix(s, "pg_"))
	case s == "none" || s == "public":
		v.errorf("%q: PostgreSQL reserves this name, no role can have it", s)
	default:
		return true
	}
	return false
}
