package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/telemetry"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// failure is an error of a command that was called rightly.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// errSaid is a failure that the command has already told of.
var errSaid = errors.New("failed")

// action makes the errors of a command's work failures, so that all others are
// errors of usage.
func action(work func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := work(cmd, args); err != nil {
			return &failure{err}
		}
		return nil
	}
}

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	say := func(format string, args ...any) {
		_, _ = io.WriteString(stderr, strings.Map(visibleLines, fmt.Sprintf(format, args...)))
	}
	var failed *failure
	var complaints config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitFailure
	case errors.As(err, &complaints):
		// Without a prefix: editors jump to file:line:column.
		say("%v\npgcustos: %s\n", err, counted(len(complaints), "error"))
		return exitFailure
	case errors.As(err, &failed):
		say("pgcustos: %v\n", err)
		return exitFailure
	default:
		say("pgcustos: %v\nRun %q for help.\n", err, cmd.CommandPath()+" --help")
		return exitUsage
	}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "pgcustos",
		Short:         "An access proxy for PostgreSQL: who did what, when, from where, as which role, and why",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("a command is missing")
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(newServe(), newCheck(), newBackendCommand(), newReconcile(), newExplain(), newSessions(), newIdentities(), newKill(), newLock(), newUnlock(), newPolicyCommand(), newAudit(), newVersion())
	return root
}

// configFlag adds the flag that names the configuration file.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "/etc/pgcustos/pgcustos.yaml", "the configuration file")
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "pgcustos %s %s %s/%s\n", telemetry.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		}),
	}
}
