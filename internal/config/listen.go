package config

import (
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/proxy/spool"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// The ALPN name of PostgreSQL's protocol, as IANA lists it.
const alpn = "postgresql"

const (
	day = 24 * time.Hour
	// maxMessage is what PostgreSQL itself takes of one message
	// (PQ_LARGE_MESSAGE_LIMIT in libpq.h: MaxAllocSize - 1).
	maxMessage = 1<<30 - 2
)

func (c *Config) readListen(root *object) {
	o := root.section("listen")
	if _, ok := root.fields["listen"]; !ok {
		root.errorf("\"listen\" is missing: where clients connect, and the TLS certificate they see")
		return
	}
	c.Listen = Listen{
		Address:         o.address("address", "where clients connect, such as 0.0.0.0:6432"),
		ClientGoneGrace: o.duration("client_gone_grace", time.Second, 0, time.Minute),
		ShutdownTimeout: o.duration("shutdown_timeout", 30*time.Second, 0, day),
		ShutdownDelay:   o.duration("shutdown_delay", 0, 0, 10*time.Minute),
		TakeOverGrace:   o.duration("take_over_grace", time.Minute, 0, day),
		MaxMessage:      int(o.size("max_message", maxMessage, 1<<16, maxMessage)),
	}
	c.readDriver(o)
	p := o.section("pre_auth")
	c.Listen.Startup = startup.Options{
		TLS:               o.serverTLS(),
		ProxyProtocolFrom: o.balancers(),
		Timeout:           p.duration("timeout", 30*time.Second, time.Second, 10*time.Minute),
		Pending:           p.integer("connections", 500, 1, 1_000_000),
		PendingPerSource:  p.integer("connections_per_source", min(50, p.peek("connections", 500)), 1, 1_000_000),
	}
	if s := c.Listen.Startup; s.PendingPerSource > s.Pending {
		p.fields["connections_per_source"].errorf("%d is more than connections allows in all (%d): lower it", s.PendingPerSource, s.Pending)
	}
	p.done()
	o.done()
}

// peek reads a number that is judged elsewhere.
func (o *object) peek(key string, otherwise int) int {
	if v, ok := o.fields[key]; ok {
		if n, err := strconv.Atoi(text(v.node)); err == nil && n > 0 {
			return n
		}
	}
	return otherwise
}

// address reads a required host:port.
func (o *object) address(key, why string) string {
	v, ok := o.need(key, why)
	if !ok {
		return ""
	}
	s, ok := v.word()
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		v.errorf("%q is not host:port (an IPv6 address stands in brackets, [::1]:6432)", s)
		return ""
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil && !isHost(host) {
		v.errorf("%q is neither an address nor a host name", host)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > math.MaxUint16 {
		v.errorf("%q is not a port: from 0 (any that is free) to 65535", port)
	}
	return s
}

// isHost reports whether s has the form of a DNS name.
func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !isLabel(label) || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}

func (o *object) serverTLS() *tls.Config {
	why := "clients are only ever asked for a password inside TLS"
	v, ok := o.need("tls", why)
	if !ok {
		return nil
	}
	t, _ := v.object()
	certificate, haveCertificate := t.need("certificate", "the file of the server's certificate with its chain, PEM")
	key, haveKey := t.need("key", "the file of the certificate's private key, PEM")
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{alpn},
		// As PostgreSQL does (be-secure-openssl.c): a ticket would let a client
		// resume what another key was agreed for.
		SessionTicketsDisabled: true,
	}
	if t.oneOf("min_version", "1.2", "1.2", "1.3") == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	t.done()
	if !haveCertificate || !haveKey {
		return nil
	}
	certPEM, okCert := certificate.file(false)
	keyPEM, okKey := key.file(true)
	defer clear(keyPEM)
	if !okCert || !okKey {
		return nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		certificate.errorf("%s and its key cannot be used: %v", text(certificate.node), err)
		return nil
	}
	config.Certificates = []tls.Certificate{pair}
	return config
}

func (o *object) balancers() []netip.Prefix {
	v, ok := o.get("proxy_protocol_from")
	if !ok {
		return nil
	}
	var out []netip.Prefix
	for _, item := range v.words() {
		p, ok := item.prefix()
		if ok && p.Bits() == 0 {
			item.errorf("lets every client say where it comes from: list the balancers alone")
			continue
		}
		if ok {
			out = append(out, p)
		}
	}
	return out
}

// prefix reads a network in CIDR form.
func (v value) prefix() (netip.Prefix, bool) {
	s, ok := v.word()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, addrErr := netip.ParseAddr(s); addrErr == nil && a.Zone() == "" {
			v.errorf("%q is an address, not a network: write %s/%d", s, a, a.BitLen())
		} else {
			v.errorf("%q is not a network in CIDR form, such as 10.20.0.0/16 or 2001:db8::/48", s)
		}
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() {
		v.errorf("%q is IPv4 in IPv6 clothes: write the IPv4 network, client addresses are compared in that form", s)
		return netip.Prefix{}, false
	}
	if p != p.Masked() {
		v.errorf("%q has bits set behind its mask: write %s, or %s/%d for the one address", s, p.Masked(), p.Addr(), p.Addr().BitLen())
		return netip.Prefix{}, false
	}
	return p, true
}

// readSpool reads where large messages wait for judgement.
func (c *Config) readSpool(root *object) {
	o := root.section("spool")
	s := spool.Options{
		Over:  int(o.size("over", 1<<20, 64<<10, 64<<20)),
		Total: o.size("total", 8<<30, 1<<20, 1<<50),
	}
	s.PerPrincipal = o.size("per_principal", s.Total/4, 1<<20, 1<<50)
	if s.PerPrincipal > s.Total {
		o.where("per_principal").errorf("%s is more than all may take together (total, %s): lower it", printSize(s.PerPrincipal), printSize(s.Total))
	}
	if v, ok := o.get("directory"); ok {
		if path, ok := v.word(); ok {
			s.Directory = root.l.resolve(path)
		}
	} else if c.Journal.Path != "" {
		s.Directory = filepath.Join(c.Journal.Path, "spool")
	}
	o.done()
	c.Spool = s
}

func (c *Config) readAdmin(root *object) {
	if _, ok := root.fields["admin"]; !ok {
		root.known = append(root.known, "admin")
		return
	}
	o := root.section("admin")
	c.Admin.Address = o.address("address", "where /metrics, /healthz and /readyz are served, such as 127.0.0.1:9187")
	o.done()
}

func (c *Config) readLog(root *object) {
	o := root.section("log")
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	c.Log = Log{
		Level:  levels[o.oneOf("level", "info", "debug", "info", "warn", "error")],
		Format: o.oneOf("format", "json", "json", "text"),
	}
	o.done()
}
