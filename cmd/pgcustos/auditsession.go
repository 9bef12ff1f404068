package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/view"
)

func newSession() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "session ID",
		Short: "Tell a session from its log-in to its end",
		Long: `Tell a session: who it was, from where, under which rule, then each statement with
its outcome, transactions as blocks with their fate, and the totals.`,
		Example: `  pgcustos audit session 06h00fbgwxstm3jg4bm4ywy2mr`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.run(func(ctx context.Context, cmd *cobra.Command, o view.Options) error {
			return view.Story(ctx, cmd.OutOrStdout(), view.StoryOptions{
				Path: o.Path, Session: args[0], Color: o.Color, Warnings: o.Warnings, Progress: o.Progress,
			})
		})(cmd, args)
	}
	f.journalFlags(cmd)
	identityFlag(cmd, &f.identity)
	return cmd
}
