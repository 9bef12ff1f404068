package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/internal/config"
)

// auditFlags are those of query and tail.
type auditFlags struct {
	config, journal      string
	format, since, until string
	filter               view.Filter
	lines                int
	follow               bool
}

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read what was recorded",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return errors.New("a command is missing") },
	}
	cmd.AddCommand(newQuery(), newCat(), newTail())
	return cmd
}

func newQuery() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Print the records that match",
		Example: `  pgcustos audit query --principal alice --decision denied --since 24h
  pgcustos audit query --session 01JD… --format jsonl | jq .`,
		Args: cobra.NoArgs,
		RunE: f.run(func(_ context.Context, cmd *cobra.Command, o view.Options) error {
			return view.Query(cmd.OutOrStdout(), o)
		}),
	}
	f.journalFlags(cmd)
	f.filterFlags(cmd)
	cmd.Flags().StringVar(&f.since, "since", "", "only from then on: a time (RFC 3339), or how long ago (90m, 24h)")
	cmd.Flags().StringVar(&f.until, "until", "", "only before then")
	return cmd
}

func newCat() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "cat",
		Short: "Print every record, as JSON lines",
		Args:  cobra.NoArgs,
		RunE: f.run(func(_ context.Context, cmd *cobra.Command, o view.Options) error {
			return view.Cat(cmd.OutOrStdout(), o)
		}),
	}
	f.journalFlags(cmd)
	return cmd
}

func newTail() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last records that match, and with -f those that come",
		Args:  cobra.NoArgs,
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, o view.Options) error {
			t := view.TailOptions{Options: o, Lines: f.lines, Follow: f.follow}
			if f.lines == 0 {
				t.Lines = -1
			}
			return view.Tail(ctx, cmd.OutOrStdout(), t)
		}),
	}
	f.journalFlags(cmd)
	f.filterFlags(cmd)
	cmd.Flags().IntVarP(&f.lines, "lines", "n", 10, "how many records from before")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on until interrupted")
	return cmd
}

func (f *auditFlags) journalFlags(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.journal, "journal", "", "the journal's directory, instead of the configuration's")
}

func (f *auditFlags) filterFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", string(view.Table), "table or jsonl")
	flags.StringVar(&f.filter.Principal, "principal", "", "only of this account: name, UPN or SID")
	flags.StringVar(&f.filter.Session, "session", "", "only of this session")
	flags.StringVar(&f.filter.Decision, "decision", "", "only these decisions: allowed, denied, would_deny, refused")
	flags.StringVar(&f.filter.Type, "type", "", "only these types of record")
	flags.StringVar(&f.filter.Incident, "incident", "", "only the record of this incident id")
	flags.StringVar(&f.filter.Role, "role", "", "only as this PostgreSQL role")
	flags.StringVar(&f.filter.Database, "database", "", "only in this database")
	flags.StringVar(&f.filter.Class, "class", "", "only statements of one of these classes")
	flags.StringVar(&f.filter.Tag, "tag", "", "only statements with one of these tags")
	flags.StringVar(&f.filter.Contains, "contains", "", "only statements whose text holds this")
}

// run reads the flags, whose errors are of usage, and does the work until it is
// done or interrupted.
func (f *auditFlags) run(work func(context.Context, *cobra.Command, view.Options) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		o, err := f.options(cmd)
		if err != nil {
			return err
		}
		return action(func(cmd *cobra.Command, _ []string) error {
			o.Path = f.journal
			if o.Path == "" {
				if o.Path, err = config.JournalPath(f.config); err != nil {
					return err
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := work(ctx, cmd, o)
			if errors.Is(err, syscall.EPIPE) {
				return nil // the reader of our output has seen enough
			}
			return err
		})(cmd, nil)
	}
}

func (f *auditFlags) options(cmd *cobra.Command) (view.Options, error) {
	o := view.Options{Filter: f.filter, Warnings: cmd.ErrOrStderr()}
	var err error
	if f.format != "" {
		if o.Format, err = view.ParseFormat(f.format); err != nil {
			return o, err
		}
	}
	now := time.Now()
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", f.since, &o.Filter.Since}, {"until", f.until, &o.Filter.Until}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = view.ParseTime(t.text, now); err != nil {
			return o, err
		}
	}
	if err := o.Filter.Check(); err != nil {
		return o, err
	}
	if out, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		o.Color = os.Getenv("NO_COLOR") == ""
		if width, _, err := term.GetSize(int(out.Fd())); err == nil {
			o.Width = width
		}
	}
	return o, nil
}
