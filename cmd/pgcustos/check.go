package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// expiryWarning is how long before its end a certificate is warned of.
const expiryWarning = 30 * 24 * time.Hour

func newCheck() *cobra.Command {
	var path string
	var from []string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration and probe all that it names",
		Long: `Loads the configuration and tries what it names: the directory, the keytab, the TLS
certificate, the log-in of each role at each backend, what that role may become
there, where its names without a schema lead and whether it may log in from
elsewhere (where one of the roles may read pg_hba_file_rules), the sinks and what their writer
may do, the signing key, the journal's directory and the room that is left there.
Prints a line for each probe; the exit code is 1 where one of them FAILs.`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			r := &report{w: cmd.OutOrStdout()}
			for _, s := range from {
				network, err := ipaddr.ParseNetwork(s)
				if err != nil {
					return fmt.Errorf("--from: %w", err)
				}
				r.from = append(r.from, network)
			}
			r.all(cmd.Context(), c)
			if r.err != nil {
				return r.err
			}
			if r.failed {
				return errSaid
			}
			return nil
		}),
	}
	configFlag(cmd, &path)
	cmd.Flags().StringArrayVar(&from, "from", nil, "the addresses of all nodes, as the servers see them; default: where this command comes from")
	return cmd
}

// report prints one line for each probe.
type report struct {
	w      io.Writer
	err    error
	failed bool
	from   []netip.Prefix // the proxies' addresses; none for this machine's
}

func (r *report) line(result, format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, "%-4s  %s\n", result, strings.Map(visible, fmt.Sprintf(format, args...)))
	}
}

// visible replaces what a terminal would act on: servers had a say in the text
// (invariant 11).
func visible(c rune) rune {
	if !unicode.IsPrint(c) {
		return unicode.ReplacementChar
	}
	return c
}

// visibleLines is visible of a text of several lines.
func visibleLines(c rune) rune {
	if c == '\n' || c == '\t' {
		return c
	}
	return visible(c)
}

func (r *report) ok(format string, args ...any)   { r.line("ok", format, args...) }
func (r *report) warn(format string, args ...any) { r.line("warn", format, args...) }

func (r *report) fail(format string, args ...any) {
	r.failed = true
	r.line("FAIL", format, args...)
}

func (r *report) all(ctx context.Context, c *config.Config) {
	r.ok("configuration %s: %s, %s, sha256 %s", c.File, counted(len(c.Rules), "rule"), counted(len(c.Backends), "backend"), c.Digest)
	r.writable(c.File)
	for _, w := range c.Warnings {
		r.warn("%s", w)
	}
	r.certificate(c.Listen.Startup.TLS)
	r.directory(ctx, c)
	r.kerberos(ctx, c)
	r.clientCertificates(c)
	for i := range c.Backends {
		r.backend(ctx, c, &c.Backends[i])
	}
	for i := range c.Sinks {
		r.sink(ctx, &c.Sinks[i])
	}
	r.signer(c.Journal.Signer)
	r.journal(&c.Journal)
}

// writable warns of a configuration that everybody may write.
func (r *report) writable(file string) {
	const others = 0o002
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&others != 0 {
		r.warn("configuration %s: everybody on this machine may write it (mode %04o), and give themselves what they like at the next reload", file, info.Mode().Perm())
	}
}

func (r *report) certificate(t *tls.Config) {
	const what = "listen certificate"
	leaf, err := leafOf(t)
	switch {
	case err != nil:
		r.fail("%s: %v", what, err)
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		r.fail("%s %s: names no host (subjectAltName), clients with sslmode=verify-full refuse it", what, leaf.Subject)
	default:
		r.validity(what, leaf)
	}
}

// validity judges the time that a certificate is good for.
func (r *report) validity(what string, leaf *x509.Certificate) {
	now := time.Now()
	switch {
	case now.Before(leaf.NotBefore):
		r.fail("%s %s: not valid before %s", what, leaf.Subject, leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		r.fail("%s %s: expired on %s", what, leaf.Subject, leaf.NotAfter.Format(time.RFC3339))
	case now.Add(expiryWarning).After(leaf.NotAfter):
		r.warn("%s %s: expires on %s", what, leaf.Subject, leaf.NotAfter.Format(time.RFC3339))
	default:
		r.ok("%s %s: valid until %s", what, leaf.Subject, leaf.NotAfter.Format(time.RFC3339))
	}
}

func leafOf(t *tls.Config) (*x509.Certificate, error) {
	pair := &t.Certificates[0]
	if pair.Leaf != nil {
		return pair.Leaf, nil
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

// directory probes each controller by itself: a proxy that finds one of two is
// in order until that one is gone.
func (r *report) directory(ctx context.Context, c *config.Config) {
	for i := range c.Directory.Domains {
		r.domain(ctx, &c.Directory.Domains[i])
	}
	for _, account := range slices.Sorted(maps.Keys(c.Directory.Services)) {
		terms := c.Directory.Services[account]
		r.service(ctx, c, account, &terms)
	}
}

func (r *report) domain(ctx context.Context, domain *directory.Options) {
	var controllers []string
	err := withDirectory(ctx, *domain, func(ctx context.Context, d *directory.Directory) (err error) {
		controllers, err = d.Controllers(ctx)
		return err
	})
	if err != nil {
		r.fail("directory %s: %v", domain.Domain, describe(err))
	}
	for _, controller := range controllers {
		o := *domain
		if o.Discover && o.ServerName == "" {
			o.ServerName = o.Domain
		}
		o.Controllers, o.Discover = []string{controller}, false
		r.controller(ctx, &o, controller)
	}
}

// service looks at a declared service, and at who answers for it.
func (r *report) service(ctx context.Context, c *config.Config, account string, t *auth.Terms) {
	id, err := lookup(ctx, c, account)
	barred := id.State.Barred()
	switch {
	case err != nil:
		r.warn("service %s: %v", account, err)
	case barred != auth.CauseNone:
		r.warn("service %s: it is kept out: %s", account, spaced(string(barred)))
	case !t.Ends.IsZero() && time.Now().Add(expiryWarning).After(t.Ends):
		r.warn("service %s: its declaration ends at %s", account, t.Ends.Format(time.RFC3339))
	}
	owner, err := lookup(ctx, c, t.Owner)
	switch barred := owner.State.Barred(); {
	case err != nil:
		r.warn("service %s: its owner: %v", account, err)
	case owner.Kind == auth.Service:
		r.warn("service %s: its owner %s is a service, and no person", account, t.Owner)
	case barred == auth.CauseDisabled || barred == auth.CauseAccountExpired:
		r.warn("service %s: the account of its owner %s is in no order: %s", account, t.Owner, spaced(string(barred)))
	}
}

func (r *report) controller(ctx context.Context, o *directory.Options, url string) {
	err := withDirectory(ctx, *o, func(ctx context.Context, d *directory.Directory) error { return d.Probe(ctx) })
	if err != nil {
		r.fail("directory %s: %v", url, describe(err))
		return
	}
	of := ""
	if o.SID != "" {
		of = " of " + o.Domain + " (" + o.NetBIOS + ")"
	}
	r.ok("directory %s%s: answers, and %s may read", url, of, o.BindName)
	err = withDirectory(ctx, *o, func(ctx context.Context, d *directory.Directory) error {
		leaf, err := d.Certificate(ctx)
		if err == nil {
			r.validity("directory "+url+" certificate", leaf)
		}
		return err
	})
	if err != nil {
		r.fail("directory %s: %v", url, describe(err))
	}
}

// withDirectory opens a directory for one question.
func withDirectory(ctx context.Context, o directory.Options, ask func(context.Context, *directory.Directory) error) error {
	d, err := directory.Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*o.Timeout)
	defer cancel()
	return errors.Join(ask(ctx, d), d.Close())
}
