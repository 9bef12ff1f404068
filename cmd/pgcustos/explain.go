package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

type explainFlags struct {
	config, user, source, database, role, reason, method, statement string
	assurance                                                       []string
	asJSON                                                          bool
}

func newExplain() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain --user NAME --source ADDRESS --database NAME [--statement SQL]",
		Short: "Tell which rule somebody would get, and of every other rule why not",
		Long: `Reads the account from the directory, without its password, and prints each
step of the choice with the time that it took: the account, its state and groups,
for every rule whether its conditions hold and by which groups, and what the
chosen one gives. With a statement it tells how that is read, and what the rule
makes of it at the beginning of a session. The exit code is 1 where no session
would be given, or the statement would be denied.`,
		Example: `  pgcustos explain --user alice --source 10.1.2.3 --database orders
  pgcustos explain --user alice --source 10.1.2.3 --database orders --statement 'DELETE FROM orders'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := f.request()
			if err != nil {
				return err
			}
			return action(func(*cobra.Command, []string) error { return f.explain(cmd, req) })(cmd, nil)
		},
	}
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.user, "user", "", `who: alice, alice@corp.example.com or CORP\alice`)
	cmd.Flags().StringVar(&f.source, "source", "", "the address that the client comes from")
	cmd.Flags().StringVar(&f.database, "database", "", "the database")
	cmd.Flags().StringVar(&f.role, "role", "", "the role that the client asks for (options=-c pgcustos.role=…)")
	cmd.Flags().StringVar(&f.reason, "reason", "", "the reason that the client gives (options=-c pgcustos.reason=…)")
	cmd.Flags().StringVar(&f.method, "method", string(auth.Password), "how the client authenticates: password, kerberos or certificate")
	cmd.Flags().StringSliceVar(&f.assurance, "assurance", nil, "SIDs of the client's ticket that say how it logged on, such as S-1-5-65-1 (with --method kerberos)")
	cmd.Flags().StringVar(&f.statement, "statement", "", "what the client sends, to be judged under the rule that it gets")
	cmd.Flags().BoolVar(&f.asJSON, "as-json", false, "as JSON, for tools")
	for _, name := range []string{"user", "source", "database"} {
		_ = cmd.MarkFlagRequired(name) // it fails for flags that do not exist
	}
	return cmd
}

func (f *explainFlags) request() (auth.Request, error) {
	source, err := netip.ParseAddr(f.source)
	if err != nil {
		return auth.Request{}, fmt.Errorf("--source %q is not an IP address", f.source)
	}
	method := auth.Method(f.method)
	switch method {
	case auth.Password, auth.Kerberos, auth.Certificate:
	default:
		return auth.Request{}, fmt.Errorf("--method %q is not one of password, kerberos, certificate", f.method)
	}
	if len(f.assurance) > 0 && method != auth.Kerberos {
		return auth.Request{}, errors.New("--assurance is of tickets: it goes with --method kerberos")
	}
	return auth.Request{Database: f.database, Source: ipaddr.Plain(source), Method: method, Role: f.role, Reason: f.reason, Assurance: f.assurance}, nil
}

// explained is all that there is to say.
type explained struct {
	asked     string
	rules     rules.Explanation
	statement *ruled // nil where none was asked about
	steps     steps
}

func (f *explainFlags) explain(cmd *cobra.Command, req auth.Request) error {
	x := &explained{asked: f.user}
	if err := x.find(cmd.Context(), f, req); err != nil {
		return err
	}
	if f.statement != "" {
		if err := x.rule(cmd.Context(), f.statement); err != nil {
			return err
		}
	}
	show := x.text
	if f.asJSON {
		show = x.json
	}
	if err := show(cmd.OutOrStdout()); err != nil {
		return err
	}
	if x.rules.Grant == nil || x.statement != nil && !x.statement.passes() {
		return errSaid
	}
	return nil
}

// find takes the question as far as to a grant.
func (x *explained) find(ctx context.Context, f *explainFlags, req auth.Request) (err error) {
	var c *config.Config
	if err := x.steps.time("read the configuration", func() error { c, err = config.Load(f.config); return err }); err != nil {
		return err
	}
	d, err := openDomains(c)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // nothing was written
	ctx, cancel := context.WithTimeout(ctx, 4*longest(d))
	defer cancel()
	var id auth.Identity
	var groups *directory.Memberships
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"reach a domain controller", func() error { return reach(ctx, d, f.user) }},
		{"read the account, its state and groups", func() error { id, err = d.Lookup(ctx, f.user); return err }},
		{"follow its groups", func() error { groups, err = d.Memberships(ctx, id); return err }},
	} {
		if err := x.steps.time(step.name, step.do); err != nil {
			return fmt.Errorf("%q: %w", f.user, describe(err))
		}
	}
	return x.steps.time("ask the rules", func() error {
		x.rules = rules.New(c.Rules).Explain(id, req)
		x.rules.Groups = groups
		return nil
	})
}

// reach asks each domain whether it answers: the account's has to.
func reach(ctx context.Context, d *directory.Domains, name string) error {
	place, err := d.Place(name)
	if err != nil {
		return err
	}
	for i, err := range d.Probe(ctx) {
		if d.All()[i] == place {
			return err
		}
	}
	return nil
}

// openDomains opens what the configuration names, for a few questions.
func openDomains(c *config.Config) (*directory.Domains, error) {
	return directory.OpenDomains(c.Directory.Domains, c.Directory.Home, slog.New(slog.DiscardHandler))
}

// longest is the longest of the domains' timeouts.
func longest(d *directory.Domains) (timeout time.Duration) {
	for _, domain := range d.All() {
		timeout = max(timeout, domain.Timeout())
	}
	return timeout
}

// bindName is what a password of this account would be tried with.
func bindName(id *auth.Identity) string { return id.DN }

// lookup reads an account, without its password.
func lookup(ctx context.Context, c *config.Config, name string) (auth.Identity, error) {
	d, err := openDomains(c)
	if err != nil {
		return auth.Identity{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*longest(d))
	defer cancel()
	id, err := d.Lookup(ctx, name)
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return auth.Identity{}, fmt.Errorf("%q: %w", name, describe(err))
	}
	return id, nil
}

// describe puts the causes of the directory in words.
func describe(err error) error {
	var f *auth.Failure
	if !errors.As(err, &f) {
		return err
	}
	words := strings.ReplaceAll(string(f.Cause), "_", " ")
	switch {
	case f.Detail != "" && f.Err != nil && !strings.Contains(f.Detail, f.Err.Error()):
		return fmt.Errorf("%s (%s): %w", words, f.Detail, f.Err)
	case f.Detail != "":
		return fmt.Errorf("%s (%s)", words, f.Detail)
	case f.Err != nil:
		return fmt.Errorf("%s: %w", words, f.Err)
	default:
		return fmt.Errorf("%s", words)
	}
}
