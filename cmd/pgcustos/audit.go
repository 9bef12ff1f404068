package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/internal/config"
)

// auditFlags are those of the audit commands.
type auditFlags struct {
	config, journal      string
	identity             string
	format, since, until string
	filter               view.Filter
	lines, limit         int
	follow, fold         bool
	count, reverse       bool
	by                   []string
}

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read what was recorded",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return errors.New("a command is missing") },
	}
	cmd.AddCommand(newQuery(), newCat(), newTail(), newSession(), newReport(), newVerify(), newKeygen(), newInit(), newHold(), newRelease(), newHolds())
	return cmd
}

func newQuery() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Print, or count, what matches",
		Long: `Print, or count, what matches, in the order of time. A statement and its outcome
are one. All filters that are given must hold; most take several values with commas
between, of which one must hold. Times are a duration before now (24h, 7d) or a time
(2026-11-21, "2026-11-21 14:30", RFC 3339); without a zone they are UTC.`,
		Example: `  pgcustos audit query --principal alice --decision denied --since 24h
  pgcustos audit query --object 'sales.*' --class WRITE --source 10.20.0.0/16
  pgcustos audit query --type statement --count --by principal,tag --since 7d
  pgcustos audit query --session 06h0… --fold
  pgcustos audit query --tag destructive --format csv > destructive.csv`,
		Args: cobra.NoArgs,
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, o view.Options) error {
			return view.Query(ctx, cmd.OutOrStdout(), o)
		}),
	}
	f.journalFlags(cmd)
	identityFlag(cmd, &f.identity)
	f.filterFlags(cmd)
	f.periodFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until interrupted")
	flags.BoolVar(&f.fold, "fold", false, "identical repeated READs of a session are one line, with a count and the last time")
	flags.BoolVar(&f.count, "count", false, "print how many there are")
	flags.StringSliceVar(&f.by, "by", nil, "count by these, the largest first: "+strings.Join(view.FieldNames(), ", "))
	flags.IntVar(&f.limit, "limit", 0, "print so many at most")
	flags.BoolVar(&f.reverse, "reverse", false, "with --limit: the last ones, the newest first")
	return cmd
}

func newCat() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "cat",
		Short: "Print every record, as JSON lines",
		Args:  cobra.NoArgs,
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, o view.Options) error {
			return view.Cat(ctx, cmd.OutOrStdout(), o)
		}),
	}
	f.journalFlags(cmd)
	identityFlag(cmd, &f.identity)
	return cmd
}

func newTail() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last that match, and with -f those that come",
		Args:  cobra.NoArgs,
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, o view.Options) error {
			t := view.TailOptions{Options: o, Lines: f.lines}
			if f.lines == 0 {
				t.Lines = -1
			}
			return view.Tail(ctx, cmd.OutOrStdout(), t)
		}),
	}
	f.journalFlags(cmd)
	identityFlag(cmd, &f.identity)
	f.filterFlags(cmd)
	cmd.Flags().IntVarP(&f.lines, "lines", "n", 10, "how many from before")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on until interrupted")
	return cmd
}

func (f *auditFlags) journalFlags(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.journal, "journal", "", "the journal's directory, instead of the configuration's")
}

// periodFlags are those that say from when to when.
func (f *auditFlags) periodFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.since, "since", "", "only from then on: a time, or how long ago (90m, 24h, 7d)")
	cmd.Flags().StringVar(&f.until, "until", "", "only before then")
}

func (f *auditFlags) filterFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", string(view.Table), "table, jsonl, csv or ocsf")
	flags.StringVar(&f.filter.Principal, "principal", "", "only of this account: name, UPN or SID")
	flags.StringVar(&f.filter.SID, "sid", "", "only of the account with this SID")
	flags.StringVar(&f.filter.Source, "source", "", "only from these addresses or networks")
	flags.StringVar(&f.filter.Session, "session", "", "only of this session")
	flags.StringVar(&f.filter.Decision, "decision", "", "only these decisions: allowed, denied, would_deny, refused")
	flags.StringVar(&f.filter.Type, "type", "", "only these types of record")
	flags.StringVar(&f.filter.Incident, "incident", "", "only the record of this incident id")
	flags.StringVar(&f.filter.Role, "role", "", "only as these PostgreSQL roles")
	flags.StringVar(&f.filter.Database, "database", "", "only in these databases")
	flags.StringVar(&f.filter.Rule, "rule", "", "only under, or decided by, these rules")
	flags.StringVar(&f.filter.Class, "class", "", "only statements of one of these classes")
	flags.StringVar(&f.filter.Tag, "tag", "", "only statements with one of these tags")
	flags.StringVar(&f.filter.Object, "object", "", "only statements that name one of these: orders, 'sales.*', '*.tmp_?'")
	flags.StringVar(&f.filter.SQLSTATE, "sqlstate", "", "only what PostgreSQL answered with these SQLSTATEs, or classes of them (42501, 23)")
	flags.StringVar(&f.filter.Digest, "digest", "", "only statements whose recorded text has this keyed digest (text_digest; its first 8 digits or more)")
	flags.StringVar(&f.filter.Trace, "trace", "", "only statements whose comment claims this id of a trace (sqlcommenter's traceparent)")
	flags.StringVar(&f.filter.Contains, "contains", "", "only statements whose text holds this, in any case")
}

// run reads the flags, whose errors are of usage, and does the work until it is
// done or interrupted.
func (f *auditFlags) run(work func(context.Context, *cobra.Command, view.Options) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		o, err := f.options(cmd)
		if err != nil {
			return err
		}
		return action(func(cmd *cobra.Command, _ []string) error {
			if o.Path, err = f.path(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			f.announce(ctx, cmd, o.Path, args)
			err := work(ctx, cmd, o)
			if errors.Is(err, syscall.EPIPE) {
				return nil // the reader of our output has seen enough
			}
			return err
		})(cmd, nil)
	}
}

// path is where the journal is.
func (f *auditFlags) path() (string, error) {
	if f.journal != "" {
		return f.journal, nil
	}
	return config.JournalPath(f.config)
}

func (f *auditFlags) options(cmd *cobra.Command) (view.Options, error) {
	o := view.Options{
		Filter: f.filter, Warnings: cmd.ErrOrStderr(), Progress: progressTo(cmd),
		Follow: f.follow, Fold: f.fold, Count: f.count, By: f.by, Limit: f.limit, Reverse: f.reverse,
	}
	var err error
	if o.Identities, err = readIdentities(f.identity); err != nil {
		return o, err
	}
	if f.format != "" {
		if o.Format, err = view.ParseFormat(f.format); err != nil {
			return o, err
		}
	}
	if cmd.Flags().Changed("limit") && f.limit < 1 {
		return o, fmt.Errorf("a limit of %d: it must be 1 or more", f.limit)
	}
	if err := f.period(&o.Filter); err != nil {
		return o, err
	}
	if err := o.Check(); err != nil {
		return o, err
	}
	if out := terminal(cmd.OutOrStdout()); out != nil {
		o.Color = os.Getenv("NO_COLOR") == ""
		if width, _, err := term.GetSize(int(out.Fd())); err == nil {
			o.Width = width
		}
	}
	return o, nil
}

// period reads from when to when.
func (f *auditFlags) period(filter *view.Filter) error {
	now := time.Now()
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", f.since, &filter.Since}, {"until", f.until, &filter.Until}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.into, err = view.ParseTime(t.text, now); err != nil {
			return err
		}
	}
	return nil
}

// terminal is the file behind a stream where that is a terminal, else nil.
func terminal(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// progressTo is where progress is told: standard error, where it is a terminal.
func progressTo(cmd *cobra.Command) io.Writer {
	if f := terminal(cmd.ErrOrStderr()); f != nil {
		return f
	}
	return nil
}
