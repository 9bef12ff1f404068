package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/directory"
)

// Diff tells what changes in meaning from one configuration to another, one
// line each, and "" where nothing does. It never holds a secret: of a
// credential it says where it is read from.
func Diff(before, after *Config) string {
	d := &diff{}
	d.rules(before, after)
	d.backends(before, after)
	d.directory(before, after)
	d.kerberos(before, after)
	d.clientCertificates(before, after)
	d.throttle(before, after)
	d.listen(before, after)
	d.rest(before, after)
	d.sinks(before, after)
	of(d, "tracing", before.Tracing.words, after.Tracing.words)
	return strings.Join(d.lines, "\n")
}

type diff struct{ lines []string }

func (d *diff) addf(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// of reports a value that changed.
func of[T comparable](d *diff, what string, before, after T) {
	if before != after {
		d.addf("%s: %v becomes %v", what, show(before), show(after))
	}
}

func show(v any) string {
	if s := fmt.Sprint(v); s != "" {
		return s
	}
	return "(none)"
}

// set reports what a list gains and loses, regardless of its order.
func (d *diff) set(what, noun string, before, after []string) {
	d.part(what, noun, "gain", after, before)
	d.part(what, noun, "lose", before, after)
}

func (d *diff) part(what, noun, verb string, of, without []string) {
	var out []string
	for _, s := range of {
		if !slices.Contains(without, s) {
			out = append(out, s)
		}
	}
	if len(out) > 0 {
		d.addf("%s: %s %s %s", what, noun, verb, strings.Join(out, ", "))
	}
}

func (d *diff) directory(before, after *Config) {
	b, a := before.Directory, after.Directory
	if !b.several() && !a.several() && len(b.Domains) == 1 && len(a.Domains) == 1 {
		d.domain("directory", &b.Domains[0], &a.Domains[0])
		of(d, "directory: the bind password is read from", before.origins[credential{}], after.origins[credential{}])
	} else {
		d.domains(before, after)
	}
	all := maps.Clone(b.Services)
	if all == nil {
		all = maps.Clone(a.Services)
	}
	maps.Copy(all, a.Services)
	for _, account := range sortedKeys(all) {
		was, had := b.Services[account]
		is, has := a.Services[account]
		switch {
		case !had:
			d.addf("service %s: added (owner %s)", account, is.Owner)
		case !has:
			d.addf("service %s: removed, the account is taken for a person's", account)
		default:
			of(d, "service "+account+": owner", was.Owner, is.Owner)
			d.service("service "+account, &was, &is)
		}
	}
}

func (d *diff) domain(what string, b, a *directory.Options) {
	of(d, what+": domain", b.Domain, a.Domain)
	of(d, what+": netbios", b.NetBIOS, a.NetBIOS)
	of(d, what+": sid", b.SID, a.SID)
	of(d, what+": upn_suffixes", strings.Join(b.Suffixes, ", "), strings.Join(a.Suffixes, ", "))
	of(d, what+": controllers", controllers(b), controllers(a))
	of(d, what+": starttls", b.StartTLS, a.StartTLS)
	of(d, what+": dns_server", b.NameServer, a.NameServer)
	of(d, what+": server_name", b.ServerName, a.ServerName)
	of(d, what+": bind_name", b.BindName, a.BindName)
	of(d, what+": timeout", b.Timeout, a.Timeout)
	of(d, what+": recheck", b.Recheck, a.Recheck)
	if !samePool(b.CA, a.CA) {
		d.addf("%s: ca changed", what)
	}
}

func controllers(o *directory.Options) string {
	if o.Discover {
		return "dns"
	}
	return strings.Join(o.Controllers, ", ")
}

func (d *diff) service(what string, b, a *auth.Terms) {
	of(d, what+": purpose", b.Purpose, a.Purpose)
	of(d, what+": ends", ending(b.Ends), ending(a.Ends))
	d.within(what, "sources", texts(b.Sources), texts(a.Sources))
	d.within(what, "methods", names(b.Methods), names(a.Methods))
	d.within(what, "rules", b.Rules, a.Rules)
	of(d, what+": password_max_age", printDays(b.PasswordAge), printDays(a.PasswordAge))
	of(d, what+": owner_gone", b.OwnerGone, a.OwnerGone)
	of(d, what+": owner_grace", printDays(b.OwnerGrace), printDays(a.OwnerGrace))
}

func ending(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func (d *diff) listen(before, after *Config) {
	b, a := before.Listen, after.Listen
	of(d, "listen: address", b.Address, a.Address)
	of(d, "listen: certificate", fingerprint(b.Startup.TLS), fingerprint(a.Startup.TLS))
	of(d, "listen: min_version", minVersion(b.Startup.TLS), minVersion(a.Startup.TLS))
	d.set("listen", "proxy_protocol_from", texts(b.Startup.ProxyProtocolFrom), texts(a.Startup.ProxyProtocolFrom))
	of(d, "listen: pre_auth.timeout", b.Startup.Timeout, a.Startup.Timeout)
	of(d, "listen: pre_auth.connections", b.Startup.Pending, a.Startup.Pending)
	of(d, "listen: pre_auth.connections_per_source", b.Startup.PendingPerSource, a.Startup.PendingPerSource)
	of(d, "listen: client_gone_grace", b.ClientGoneGrace, a.ClientGoneGrace)
	of(d, "listen: shutdown_timeout", b.ShutdownTimeout, a.ShutdownTimeout)
	of(d, "listen: shutdown_delay", b.ShutdownDelay, a.ShutdownDelay)
	of(d, "listen: take_over_grace", b.TakeOverGrace, a.TakeOverGrace)
	of(d, "listen: driver", b.Driver, a.Driver)
	of(d, "listen: loops", b.Loops, a.Loops)
	of(d, "listen: max_message", printSize(int64(b.MaxMessage)), printSize(int64(a.MaxMessage)))
}

func (d *diff) rest(before, after *Config) {
	of(d, "node", before.Node, after.Node)
	of(d, "admin: address", before.Admin.Address, after.Admin.Address)
	of(d, "memory: limit", printSize(before.MemoryLimit), printSize(after.MemoryLimit))
	of(d, "peers", before.Peers.String(), after.Peers.String())
	if b, a := before.Peers.Authorities, after.Peers.Authorities; b != nil && a != nil && !samePool(b, a) {
		d.addf("peers: tls.ca changed")
	}
	of(d, "control: directory", before.Control.Directory, after.Control.Directory)
	of(d, "control: group", before.Control.Group, after.Control.Group)
	of(d, "log: level", before.Log.Level, after.Log.Level)
	of(d, "log: format", before.Log.Format, after.Log.Format)
	of(d, "journal: path", before.Journal.Path, after.Journal.Path)
	of(d, "journal: segment_size", printSize(before.Journal.SegmentSize), printSize(after.Journal.SegmentSize))
	of(d, "journal: reserve", printSize(before.Journal.Reserve), printSize(after.Journal.Reserve))
	of(d, "journal: rotate", before.Journal.Rotate, after.Journal.Rotate)
	of(d, "journal: compression", before.Journal.Compress, after.Journal.Compress)
	d.retained(&before.Journal.Retention, &after.Journal.Retention)
	d.encrypted(before, after)
	of(d, "journal: floor", printSize(before.Journal.Floor), printSize(after.Journal.Floor))
	of(d, "journal: budget.rate", printSize(before.Budget.Rate), printSize(after.Budget.Rate))
	of(d, "journal: budget.burst", printSize(before.Budget.Burst), printSize(after.Budget.Burst))
	of(d, "journal: signing_key", signingKey(before.Journal), signingKey(after.Journal))
	of(d, "journal: digest_key", digestKey(before.Journal), digestKey(after.Journal))
	of(d, "spool: directory", before.Spool.Directory, after.Spool.Directory)
	of(d, "spool: over", printSize(int64(before.Spool.Over)), printSize(int64(after.Spool.Over)))
	of(d, "spool: total", printSize(before.Spool.Total), printSize(after.Spool.Total))
	of(d, "spool: per_principal", printSize(before.Spool.PerPrincipal), printSize(after.Spool.PerPrincipal))
	of(d, "redact", before.Patterns.String(), after.Patterns.String())
	of(d, "parser: workers", before.Parser.Workers, after.Parser.Workers)
	of(d, "parser: timeout", before.Parser.Timeout, after.Parser.Timeout)
	of(d, "parser: wait", before.Parser.Wait, after.Parser.Wait)
	of(d, "parser: max_text", printSize(int64(before.Parser.MaxText)), printSize(int64(after.Parser.MaxText)))
	of(d, "parser: cache", printSize(before.Parser.CacheBytes), printSize(after.Parser.CacheBytes))
	of(d, "parser: memory", printSize(int64(before.Parser.Memory)), printSize(int64(after.Parser.Memory)))
}

// signingKey names the key that signs checkpoints.
func signingKey(o journal.Options) string {
	if o.Signer == nil {
		return ""
	}
	key, _ := o.Signer.Public().(ed25519.PublicKey)
	return journal.KeyID(key)
}

// digestKey says where the key of the digests comes from. The key is a secret.
func digestKey(o journal.Options) string {
	if o.DigestKey.Set() {
		sum := o.DigestKey.Hash().Sum(nil) // of nothing, which tells nothing of the key
		return hex.EncodeToString(sum[:4])
	}
	return "of the journal's directory"
}

// fingerprint names the certificate that a configuration presents.
func fingerprint(c *tls.Config) string {
	if c == nil || len(c.Certificates) == 0 || len(c.Certificates[0].Certificate) == 0 {
		return ""
	}
	sum := sha256.Sum256(c.Certificates[0].Certificate[0])
	return "sha256:" + hex.EncodeToString(sum[:8])
}

func minVersion(c *tls.Config) string {
	if c == nil {
		return ""
	}
	return tls.VersionName(c.MinVersion)
}

func samePool(a, b *x509.CertPool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.String()
	}
	return out
}
