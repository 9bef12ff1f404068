package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/directory"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/cmd/pgcustos/trial"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Try rules out before they are in force",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return errors.New("a command is missing") },
	}
	cmd.AddCommand(newPolicyTest(), newPolicyReplay())
	return cmd
}

func newPolicyTest() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Check a table of statements against the rules",
		Long: `Reads a table of cases (who sends which statement, and what is expected of it),
puts each to the rules of the configuration, and prints those that come out
otherwise. It needs neither a server nor a secret: of the configuration it reads
the rules alone, unless a case leaves the groups of an account to the directory.
The exit code is 1 where a case fails.`,
		Example: `  pgcustos policy test policy.cases.yaml --config pgcustos.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return testPolicy(cmd.Context(), path, args[0], cmd.OutOrStdout())
		}),
	}
	configFlag(cmd, &path)
	return cmd
}

func testPolicy(ctx context.Context, path, table string, out io.Writer) error {
	cases, err := config.LoadCases(table)
	if err != nil {
		return err
	}
	c, err := config.LoadRules(path)
	if err != nil {
		return err
	}
	if err := identify(ctx, path, c, cases); err != nil {
		return err
	}
	judge, err := openJudge()
	if err != nil {
		return err
	}
	defer judge.Close()
	set, failed := rules.New(c.Rules), 0
	for i := range cases {
		ok, err := testCase(ctx, set, judge, &cases[i], out)
		if err != nil {
			return err
		}
		if !ok {
			failed++
		}
	}
	if _, err := fmt.Fprintf(out, "%d passed, %d failed\n", len(cases)-failed, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errSaid
	}
	return nil
}

func testCase(ctx context.Context, set *rules.Set, judge statement.Judge, c *config.Case, out io.Writer) (bool, error) {
	v, err := trial.Judge(ctx, set, judge, c)
	if err != nil {
		return false, fmt.Errorf("%s:%d:%d: %w", c.File, c.Line, c.Column, err)
	}
	if why := v.Differs(&c.Expect); why != "" {
		_, err := fmt.Fprintf(out, "FAIL  %s:%d:%d: %s\n      %s\n", c.File, c.Line, c.Column, c.Name, why)
		return false, err
	}
	_, err = fmt.Fprintf(out, "ok    %s\n", c.Name)
	return true, err
}

// openJudge starts parser workers of this command's own.
func openJudge() (*statement.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	judge, err := statement.Open(statement.Options{}, []string{self, parserWorker}, statement.Hooks{})
	if err != nil {
		return nil, fmt.Errorf("parser workers: %w", err)
	}
	return judge, nil
}

// identify asks the directory for the accounts that the table leaves to it, and
// tells people from services as the configuration does.
func identify(ctx context.Context, path string, rulesAlone *config.Config, cases []config.Case) error {
	found := map[string]auth.Identity{}
	var d *directory.Domains
	for i := range cases {
		c := &cases[i]
		if c.Lookup == "" {
			if err := rulesAlone.Place(&c.Identity, c.Identity.GUID); err != nil {
				return fmt.Errorf("%s:%d:%d: %w", c.File, c.Line, c.Column, err)
			}
			declare(rulesAlone, &c.Identity)
			continue
		}
		if d == nil {
			whole, err := config.Load(path)
			if err != nil {
				return err
			}
			if d, err = openDomains(whole); err != nil {
				return err
			}
			defer d.Close() //nolint:errcheck // nothing was written
		}
		id, known := found[c.Lookup]
		if !known {
			var err error
			if id, err = d.Lookup(ctx, c.Lookup); err != nil {
				return fmt.Errorf("%s:%d:%d: %q: %w", c.File, c.Line, c.Column, c.Lookup, describe(err))
			}
			found[c.Lookup] = id
		}
		c.Identity = id
	}
	return nil
}

// declare tells a person from a declared service, unless the table does.
func declare(c *config.Config, id *auth.Identity) {
	terms, service := c.Directory.Service(id)
	switch {
	case service && id.Kind != auth.Person:
		id.Kind, id.Owner, id.Terms = auth.Service, terms.Owner, &terms
	case id.Kind == "":
		id.Kind = auth.Person
	}
}
