package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/view"
)

func newReport() *cobra.Command {
	var f auditFlags
	var format string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Say who accessed what, changed the schema or destroyed, and what happened",
		Long: `Write a report on a period: who accessed what, who changed the schema, who ran
destructive operations, and what happened. As Markdown, or as one HTML page that needs
nothing else and can be printed.`,
		Example: `  pgcustos audit report --since 7d > week.md
  pgcustos audit report --since 2026-11-01 --until 2026-12-01 --format html > november.html`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		form, err := view.ParseReportFormat(format)
		if err != nil {
			return err
		}
		return f.run(func(ctx context.Context, cmd *cobra.Command, o view.Options) error {
			return view.Report(ctx, cmd.OutOrStdout(), view.ReportOptions{
				Path: o.Path, Filter: o.Filter, Format: form, Now: time.Now(), Warnings: o.Warnings, Progress: o.Progress,
			})
		})(cmd, args)
	}
	f.journalFlags(cmd)
	identityFlag(cmd, &f.identity)
	f.periodFlags(cmd)
	cmd.Flags().StringVar(&format, "format", string(view.Markdown), "md or html")
	cmd.Flags().StringVar(&f.filter.Principal, "principal", "", "only of this account: name, UPN or SID")
	cmd.Flags().StringVar(&f.filter.Database, "database", "", "only in these databases")
	return cmd
}
