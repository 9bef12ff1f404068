package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/certificate"
	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/auth/kerberos"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/auth/throttle"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/telemetry"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

// policy is a proxy.Policy with what has to be closed when it goes.
type policy struct {
	proxy.Policy
	directory *directory.Domains
}

// memory is what log-ins have left behind. A reload keeps it: it must be no way to
// guess or replay anew.
type memory struct {
	replays *kerberos.Replays
	guesses *throttle.Throttle
}

// newPolicy builds what a reload replaces. It connects to nothing.
func newPolicy(c *config.Config, m memory, hooks catalog.Hooks, log *slog.Logger) (*policy, error) {
	domains := slices.Clone(c.Directory.Domains)
	for i := range domains {
		domains[i].Throttle = m.guesses
	}
	d, err := directory.OpenDomains(domains, c.Directory.Home, log)
	if err != nil {
		return nil, err
	}
	p := &policy{directory: d, Policy: proxy.Policy{
		Startup:         c.Listen.Startup,
		Methods:         auth.Methods{Pins: slices.Concat(c.Kerberos.Pins, c.ClientCertificates.Pins)},
		Authenticator:   d,
		Resolver:        d,
		Watcher:         d,
		Adopt:           d.Adopt,
		Rules:           rules.New(c.Rules),
		Backends:        make(map[string]*backend.Backend, len(c.Backends)),
		ClientGoneGrace: c.Listen.ClientGoneGrace,
		MaxMessage:      c.Listen.MaxMessage,
		Budget:          c.Budget,
		Patterns:        c.Patterns,
	}}
	if c.Kerberos.Keytab != nil {
		p.Methods.Tickets = kerberos.New(c.Kerberos.Options, m.replays)
	}
	if len(c.ClientCertificates.Authorities) > 0 {
		p.Methods.Certificates = certificate.New(c.ClientCertificates.Options)
	}
	for i := range c.Backends {
		b, err := backend.Open(c.Backends[i])
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		p.Backends[b.Name()] = b
	}
	p.Catalogs = openCatalogs(c, p.Backends, hooks)
	return p, nil
}

func (p *policy) close() error {
	for _, c := range p.Catalogs {
		c.Close()
	}
	return p.directory.Close()
}

// What happened to the configuration, as records name it.
const (
	started        = "start"
	reloaded       = "reload"
	reloadRefused  = "reload_refused"
	stopped        = "stop"
	reloadRecorded = 5 * time.Second
)

// recordConfiguration writes down what happened, and waits until it would
// survive a loss of power.
func (d *daemon) recordConfiguration(cause string, c *config.Config, change, detail string) error {
	e := audit.Event{Type: audit.Configuration, Decision: audit.Allowed, Cause: cause, Change: change, Detail: detail}
	if c != nil {
		e.Digest = c.Digest
	}
	if cause == reloadRefused {
		e.Decision = audit.Denied
	}
	r, err := d.recorder.Record(&e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadRecorded)
	defer cancel()
	return d.recorder.Wait(ctx, r)
}

// reload reads the configuration again. The old one stays in force unless the
// new one passes every check and its difference is on record.
func (d *daemon) reload() error {
	d.notify(reloading())
	defer d.notify(ready)
	if err := d.apply(); err != nil {
		d.metrics.Reloads.WithLabelValues("failure").Inc()
		d.log.Error("the configuration was not reloaded, the old one stays in force", "error", err)
		if err := d.recordConfiguration(reloadRefused, nil, "", brief(err)); err != nil {
			d.log.Error("record", "error", err)
		}
		return err
	}
	d.metrics.Reloads.WithLabelValues("success").Inc()
	return nil
}

// mostComplaints are recorded of a configuration that was refused; the log has
// all of them.
const mostComplaints = 20

func brief(err error) string {
	var all config.Errors
	if errors.As(err, &all) && len(all) > mostComplaints {
		return fmt.Sprintf("%v\n… and %d more", all[:mostComplaints], len(all)-mostComplaints)
	}
	return err.Error()
}

func (d *daemon) apply() error {
	c, err := config.Load(d.config.File)
	if err != nil {
		return err
	}
	fresh, err := newPolicy(c, d.memory, d.catalogHooks(), d.log)
	if err != nil {
		return err
	}
	fresh.directory.Follow(d.policy.directory)
	change := config.Diff(d.config, c)
	if err := d.recordConfiguration(reloaded, c, change, ""); err != nil {
		return errors.Join(fmt.Errorf("the change cannot be recorded: %w", err), fresh.close())
	}
	old, before := d.policy, d.config
	for name, known := range fresh.Catalogs {
		known.Adopt(old.Catalogs[name])
	}
	d.policy, d.config = fresh, c
	d.level.Set(c.Log.Level)
	d.health.setDirectory(fresh.directory, d.metrics)
	d.budget.SetLimit(c.MemoryLimit)
	d.searchFor(before, c)
	ended := d.server.Apply(fresh.Policy)
	d.readAhead()
	if d.peers != nil && len(c.Peers.Nodes) > 0 {
		d.peers.Renew(d.peersBy(c))
	}
	d.services.Declare(c.Directory.Services, c.Directory.Recheck)
	d.published(c)
	if err := old.close(); err != nil {
		d.log.Warn("close the old directory connections", "error", err)
	}
	d.log.Info("configuration reloaded", "config", c.Digest, "change", change, "sessions_ended", ended)
	if later := atRestart(before, c); later != "" {
		d.log.Warn("part of the change takes effect at the next start only", "keys", later)
	}
	return nil
}

// searchFor has the reader search texts for what is not to be recorded. It forgets
// what it has read.
func (d *daemon) searchFor(before, after *config.Config) {
	if before.Patterns != after.Patterns {
		d.reader.SetPatterns(after.Patterns)
	}
}

// atRestart names the keys whose change a running process cannot follow.
func atRestart(before, after *config.Config) string {
	var keys []string
	for _, k := range []struct {
		name    string
		changed bool
	}{
		{"node", before.Node != after.Node},
		{"listen.address", before.Listen.Address != after.Listen.Address},
		{"listen.driver", before.Listen.Driver != after.Listen.Driver || before.Listen.Loops != after.Listen.Loops},
		{"admin.address", before.Admin != after.Admin},
		{"peers", before.Peers.Address != after.Peers.Address || (len(before.Peers.Nodes) == 0) != (len(after.Peers.Nodes) == 0)},
		{"control", before.Control != after.Control},
		{"log.format", before.Log.Format != after.Log.Format},
		{"journal", before.Journal != after.Journal},
		{"spool", before.Spool != after.Spool},
		{"parser", before.Parser != after.Parser},
		{"sinks", !config.SameSinks(before, after)},
		{"tracing", !config.SameTracing(before, after)},
	} {
		if k.changed {
			keys = append(keys, k.name)
		}
	}
	return strings.Join(keys, ", ")
}

// published tells the metrics of a configuration that is in force.
func (d *daemon) published(c *config.Config) {
	d.metrics.SetConfig(c.Digest)
	ends := certificateEnds(c)
	d.metrics.CertificateExpires.Reset()
	for what, end := range ends {
		d.metrics.CertificateExpires.WithLabelValues(what).Set(float64(end.at.Unix()))
	}
	d.health.setCertificates(ends)
	for _, w := range c.Warnings {
		d.log.Warn("configuration", "warning", w)
	}
}

func (d *daemon) parserDied(death statement.Death) {
	d.log.Warn("a parser worker was lost to a text", "cause", string(death.Cause), "detail", death.Detail)
	e := audit.Event{Type: audit.ParserDied, Cause: string(death.Cause), Detail: death.Detail}
	if _, err := d.recorder.Record(&e); err != nil {
		d.log.Error("record", "error", err)
	}
}

func (d *daemon) countParser() {
	read := func(field func(*statement.Stats) float64) func() float64 {
		return func() float64 {
			s := d.reader.Stats()
			return field(&s)
		}
	}
	d.metrics.Parser(telemetry.ParserStats{
		Hits:       read(func(s *statement.Stats) float64 { return float64(s.Hits) }),
		Masked:     read(func(s *statement.Stats) float64 { return float64(s.Masked) }),
		Waiting:    read(func(s *statement.Stats) float64 { return float64(s.Waiting) }),
		Misses:     read(func(s *statement.Stats) float64 { return float64(s.Misses) }),
		Deaths:     read(func(s *statement.Stats) float64 { return float64(s.Deaths) }),
		CacheBytes: read(func(s *statement.Stats) float64 { return float64(s.CacheBytes) }),
	})
}
