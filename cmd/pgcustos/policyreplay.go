package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/cmd/pgcustos/trial"
	"github.com/pgcustos/pgcustos/internal/config"
)

type replayFlags struct {
	auditFlags
	offline, exitCode bool
}

func newPolicyReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --config NEW",
		Short: "Tell what other rules would have made of what the journal holds",
		Long: `Puts every session and statement of the journal to the rules of a configuration
that is not in force yet, and prints what would have been otherwise: for whom,
how often, and which records to look at. Accounts are read from the directory as
they are now; with --offline they have the group that is on record, and of the
configuration the rules alone are read.`,
		Example: `  pgcustos policy replay --config pgcustos.new.yaml --since 7d`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var period view.Filter
			if err := f.period(&period); err != nil {
				return err
			}
			if f.format != "table" && f.format != "json" {
				return fmt.Errorf("no such format: %q; there are table and json", f.format)
			}
			return action(func(cmd *cobra.Command, _ []string) error {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				return f.replay(ctx, cmd, period)
			})(cmd, nil)
		},
	}
	f.journalFlags(cmd)
	identityFlag(cmd, &f.identity)
	f.periodFlags(cmd)
	cmd.Flags().StringVar(&f.format, "format", "table", "table or json")
	cmd.Flags().BoolVar(&f.offline, "offline", false, "ask no directory")
	cmd.Flags().BoolVar(&f.exitCode, "exit-code", false, "exit with 1 where something that ran would be denied")
	return cmd
}

func (f *replayFlags) replay(ctx context.Context, cmd *cobra.Command, period view.Filter) error {
	path, err := f.path()
	if err != nil {
		return err
	}
	f.announce(ctx, cmd, path, nil)
	o := trial.ReplayOptions{Until: period.Until}
	if f.offline {
		c, err := config.LoadRules(f.config)
		if err != nil {
			return err
		}
		o.Rules = rules.New(c.Rules)
	} else {
		c, err := config.Load(f.config)
		if err != nil {
			return err
		}
		d, err := openDomains(c)
		if err != nil {
			return err
		}
		defer d.Close() //nolint:errcheck // nothing was written
		o.Rules, o.Resolve = rules.New(c.Rules), d.Refresh
	}
	keys, err := readIdentities(f.identity)
	if err != nil {
		return err
	}
	reader, err := journal.OpenReader(journal.ReaderOptions{Path: path, Since: period.Since, Identities: keys})
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // nothing was written
	o.Next = reader.Next
	report, err := trial.Replay(ctx, o)
	if err != nil {
		return describe(err)
	}
	return f.print(cmd.OutOrStdout(), report)
}

func (f *replayFlags) print(out io.Writer, report *trial.Report) error {
	var err error
	if f.format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = report.Print(out)
	}
	if err == nil && f.exitCode && report.Denies() {
		return errSaid
	}
	return err
}
