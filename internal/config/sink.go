package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/sink/otlp"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/audit/sink/syslog"
)

// The kinds of sink.
const (
	SinkPostgres = "postgres"
	SinkSyslog   = "syslog"
	SinkStdout   = "stdout"
	SinkOTLP     = "otlp"
)

// The formats of what is sent.
const (
	FormatNative  = "native"  // by the names of audit/FORMAT.md
	FormatOCSF    = "ocsf"    // the Open Cybersecurity Schema Framework
	FormatSemconv = "semconv" // OpenTelemetry's semantic conventions for databases
)

// Sink is where audit records are sent. Of the options, those of its kind are
// set; stdout has none.
type Sink struct {
	Name, Kind string
	Format     string // native, ocsf or semconv; of postgres native
	Postgres   postgres.Options
	Syslog     syslog.Options
	OTLP       otlp.Options

	// words tell the difference to another; they hold no secret.
	words string
}

// same reports whether two sinks are configured alike.
func (s *Sink) same(other *Sink) bool {
	return s.Name == other.Name && s.words == other.words && samePool(s.pool(), other.pool())
}

func (s *Sink) pool() *x509.CertPool {
	for _, c := range []*tls.Config{s.Postgres.TLS, s.Syslog.TLS, s.OTLP.TLS} {
		if c != nil {
			return c.RootCAs
		}
	}
	return nil
}

// SameSinks reports whether two configurations have the same sinks.
func SameSinks(a, b *Config) bool {
	return slices.EqualFunc(a.Sinks, b.Sinks, func(x, y Sink) bool { return x.same(&y) })
}

func (c *Config) readSinks(root *object) {
	v, ok := root.get("sinks")
	if !ok {
		return
	}
	first := map[string]value{}
	for _, item := range v.items() {
		o, ok := item.object()
		if !ok {
			continue
		}
		s := c.readSink(o)
		if at, given := o.fields["name"]; given && s.Name != "" {
			// Positions are kept under the name, in a file system that may fold case.
			if other, twice := first[strings.ToLower(s.Name)]; twice {
				at.errorf("the name %q is taken by the sink in line %d: choose another", s.Name, other.at.Line)
			} else {
				first[strings.ToLower(s.Name)] = at
			}
		}
		if s.Kind == SinkStdout && slices.ContainsFunc(c.Sinks, func(e Sink) bool { return e.Kind == SinkStdout }) {
			o.where("kind").errorf("there is a sink of kind stdout already")
		}
		c.Sinks = append(c.Sinks, s)
	}
}

func (c *Config) readSink(o *object) Sink {
	s := Sink{Name: o.label("what positions, logs and metrics call this sink")}
	if o.has("kind") {
		s.Kind = o.oneOf("kind", "", SinkPostgres, SinkSyslog, SinkStdout, SinkOTLP)
	} else {
		o.need("kind", "what the sink is: postgres, syslog, stdout or otlp")
	}
	s.Format = FormatNative
	if s.Kind != SinkPostgres {
		s.Format = o.oneOf("format", FormatNative, FormatNative, FormatOCSF, FormatSemconv)
	} else if v, given := o.get("format"); given {
		v.errorf("is not for postgres, whose tables and views have columns of their own: remove it")
	}
	switch s.Kind {
	case SinkPostgres:
		c.readPostgresSink(o, &s)
	case SinkSyslog:
		c.readSyslogSink(o, &s)
	case SinkOTLP:
		c.readOTLPSink(o, &s)
	case SinkStdout:
		s.words = s.Kind
	default:
		return s // which keys it may have is not known
	}
	if s.Format != FormatNative {
		s.words += ", format " + s.Format
	}
	o.done()
	return s
}

func (c *Config) readPostgresSink(o *object, s *Sink) {
	p := &s.Postgres
	p.Node = c.Node
	socket := false
	if v, ok := o.need("host", "where the audit database is: a name, or the directory of a Unix socket"); ok {
		if p.Host, ok = v.word(); ok {
			socket = strings.HasPrefix(p.Host, "/")
			if !socket && net.ParseIP(p.Host) == nil && !isHost(p.Host) {
				v.errorf("%q is neither a host nor the directory of a Unix socket", p.Host)
			}
		}
	}
	p.Port = uint16(o.integer("port", defaultPort, 1, 65535))
	p.Database = o.needWord("database", "the database that holds the schema pgcustos")
	if v, ok := o.need("user", "the role that writes, such as audit_writer"); ok {
		if p.User, ok = v.word(); ok {
			v.roleName(p.User)
		}
	}
	p.ConnectTimeout = o.connectTimeout()
	from := origin{}
	if !socket || o.has("password_file", "password_env") {
		if read, at, ok := o.secret("password"); ok {
			from = at
			p.Password = func() (string, error) {
				secret, err := read()
				if err != nil {
					return "", err
				}
				defer secret.Wipe()
				return secret.Reveal(), nil
			}
		}
	}
	mark := ""
	if v, given := o.get("tls"); socket && given {
		v.errorf("is not used on a Unix socket: remove it")
	} else if !socket {
		p.TLS, mark = o.sinkTLS(alpn)
	}
	s.words = fmt.Sprintf("%s to %s port %d, database %s, as %s (password from %s, timeout %s%s)", s.Kind, p.Host, p.Port, p.Database,
		p.User, from, short(p.ConnectTimeout), mark)
}

func (o *object) connectTimeout() time.Duration {
	return o.duration("connect_timeout", 10*time.Second, 100*time.Millisecond, 5*time.Minute)
}

// facilities are those that audit records may have; the others belong to the
// system (RFC 5424, section 6.2.1).
var facilities = map[string]int{
	"authpriv": 10, "audit": 13, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21,
	"local6": 22, "local7": 23,
}

func (c *Config) readSyslogSink(o *object, s *Sink) {
	p := &s.Syslog
	p.Hostname = c.Node
	p.Address = o.address("address", "the syslog server, such as siem.corp.example.com:6514")
	facility := o.oneOf("facility", "audit", sortedKeys(facilities)...)
	p.Facility = facilities[facility]
	p.MaxMessage = int(o.size("max_message", 8<<10, 2<<10, 1<<20))
	p.ConnectTimeout = o.connectTimeout()
	var mark string
	p.TLS, mark = o.sinkTLSUnlessPlain(p.Address)
	s.words = fmt.Sprintf("%s to %s (facility %s, max_message %s, timeout %s%s)", s.Kind, p.Address, facility, printSize(int64(p.MaxMessage)), short(p.ConnectTimeout), mark)
}

func (c *Config) readOTLPSink(o *object, s *Sink) {
	p := &s.OTLP
	p.Node = c.Node
	p.Endpoint = o.address("endpoint", "the collector, such as collector.corp.example.com:4317")
	protocol := o.oneOf("protocol", "grpc", "grpc", "http")
	p.HTTP = protocol == "http"
	p.Path = "/v1/logs"
	if v, given := o.get("path"); given {
		var ok bool
		if p.Path, ok = v.word(); ok && (!strings.HasPrefix(p.Path, "/") || strings.ContainsAny(p.Path, " ?#%")) {
			v.errorf("%q is not a path such as /v1/logs", p.Path)
		}
		if !p.HTTP {
			v.errorf("is used with protocol: http only: remove it")
		}
	}
	p.ConnectTimeout = o.connectTimeout()
	var mark string
	p.TLS, mark = o.sinkTLSUnlessPlain(p.Endpoint)
	s.words = fmt.Sprintf("%s to %s (%s, %s, timeout %s%s)", s.Kind, p.Endpoint, protocol, p.Path, short(p.ConnectTimeout), mark)
}

// sinkTLSUnlessPlain reads tls, or plaintext: true, which is for loopback alone.
func (o *object) sinkTLSUnlessPlain(address string) (*tls.Config, string) {
	if !o.truth("plaintext") {
		return o.sinkTLS("")
	}
	v := o.fields["plaintext"]
	if t, given := o.get("tls"); given {
		t.errorf("is given beside plaintext: remove one")
	}
	host, _, err := net.SplitHostPort(address)
	if a, parseErr := netip.ParseAddr(host); err == nil && (parseErr != nil || !a.IsLoopback()) {
		v.errorf("records leave this machine in TLS only: plaintext is for an address such as 127.0.0.1 or [::1]")
	}
	return nil, ", plaintext"
}

// sinkTLS makes a verify-full configuration. mark stands for what is in it.
func (o *object) sinkTLS(protocol string) (config *tls.Config, mark string) {
	v, given := o.get("tls")
	if !given {
		if !o.has("tls") {
			o.errorf("\"tls\" is missing: {ca: file}, the CA that signed the server's certificate")
		}
		return nil, ""
	}
	t, ok := v.object()
	if !ok {
		return nil, ""
	}
	config = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.pool(), ServerName: t.serverName(), SessionTicketsDisabled: true}
	if protocol != "" {
		config.NextProtos = []string{protocol}
	}
	t.clientCertificate(config)
	t.done()
	if config.ServerName != "" {
		mark += ", server name " + config.ServerName
	}
	if ca, ok := t.fields["ca"]; ok {
		mark += ", ca " + text(ca.node)
	}
	if own := fingerprint(config); own != "" {
		mark += ", certificate " + own
	}
	return config, mark
}

// clientCertificate reads the pair certificate and key, where the server asks
// for one.
func (o *object) clientCertificate(config *tls.Config) {
	certificate, isCertificate := o.get("certificate")
	key, isKey := o.get("key")
	switch {
	case !isCertificate && !isKey:
		return
	case !isKey:
		certificate.errorf("is given without its key")
		return
	case !isCertificate:
		key.errorf("is given without its certificate")
		return
	}
	certPEM, okCert := certificate.file(false)
	keyPEM, okKey := key.file(true)
	defer clear(keyPEM)
	if !okCert || !okKey {
		return
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		certificate.errorf("%s and its key cannot be used: %v", text(certificate.node), err)
		return
	}
	config.Certificates = []tls.Certificate{pair}
}

func (d *diff) sinks(before, after *Config) {
	was := map[string]*Sink{}
	for i := range before.Sinks {
		was[before.Sinks[i].Name] = &before.Sinks[i]
	}
	for i := range after.Sinks {
		s := &after.Sinks[i]
		old, had := was[s.Name]
		switch {
		case !had:
			d.addf("sink %s: added: %s", s.Name, s.words)
		default:
			of(d, "sink "+s.Name, old.words, s.words)
			if !samePool(old.pool(), s.pool()) {
				d.addf("sink %s: ca changed", s.Name)
			}
		}
		delete(was, s.Name)
	}
	for _, name := range sortedKeys(was) {
		d.addf("sink %s: removed, what it has not taken stays in the journal", name)
	}
}
