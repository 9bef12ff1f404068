package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/reading"
	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/internal/config"
)

// holdFlags are those of hold, release and holds.
type holdFlags struct {
	auditFlags
	reason string
}

func newHold() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Keep the records of a period, whatever retention says",
		Long: `Forbids that retention removes records of a period (of all times, without --since and
--until), until "pgcustos audit release". Who holds what, and why, is on record.`,
		Example: `  pgcustos audit hold --since 2026-11-01 --until 2026-12-01 --reason "case 4711"`,
		Args:    cobra.NoArgs,
		RunE: f.on(func(cmd *cobra.Command, path string, _ []string) error {
			h := journal.Hold{Reason: f.reason, By: userName()}
			var period view.Filter
			if err := f.period(&period); err != nil {
				return err
			}
			h.Since, h.Until = period.Since, period.Until
			made, err := journal.AddHold(path, h)
			if err != nil {
				return err
			}
			if err := f.onRecord(cmd, path, "id="+made.ID); err != nil {
				return fmt.Errorf("the hold %s stands, and is not on record: %w", made.ID, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "hold %s: %s\n", made.ID, periodText(made))
			return err
		}),
	}
	f.flags(cmd)
	f.periodFlags(cmd)
	return cmd
}

func newRelease() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:     "release ID",
		Short:   "Let retention remove again what a hold keeps",
		Long:    `Takes a hold away. Who does so, and why, is on record before it is done.`,
		Example: `  pgcustos audit release 7m2kq4xw5d3a --reason "case 4711 is closed"`,
		Args:    cobra.ExactArgs(1),
		RunE: f.on(func(cmd *cobra.Command, path string, args []string) error {
			all, err := journal.Holds(path)
			if err != nil {
				return err
			}
			known := false
			for i := range all {
				known = known || all[i].ID == args[0]
			}
			if !known {
				return fmt.Errorf("%w: %q; pgcustos audit holds lists those there are", journal.ErrNoHold, args[0])
			}
			if err := f.onRecord(cmd, path, "id="+args[0]); err != nil {
				return fmt.Errorf("the hold stays, for its release cannot be recorded: %w", err)
			}
			return journal.ReleaseHold(path, args[0])
		}),
	}
	f.flags(cmd)
	return cmd
}

func newHolds() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use:   "holds",
		Short: "List what is held",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			path, err := f.path()
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); err != nil {
				return err // a journal that is not there holds nothing, and is not meant
			}
			all, err := journal.Holds(path)
			if err != nil {
				return err
			}
			for i := range all {
				h := &all[i]
				line := fmt.Sprintf("%s  %s  since %s, by %s: %s", h.ID, periodText(h), h.At.Format(time.RFC3339), h.By, h.Reason)
				if _, err := io.WriteString(cmd.OutOrStdout(), strings.Map(visible, line)+"\n"); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	f.journalFlags(cmd)
	return cmd
}

func (f *holdFlags) flags(cmd *cobra.Command) {
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.reason, "reason", "", "why: it is on record")
	_ = cmd.MarkFlagRequired("reason")
}

// on runs a command on the configuration's journal.
func (f *holdFlags) on(work func(cmd *cobra.Command, path string, args []string) error) func(*cobra.Command, []string) error {
	return action(func(cmd *cobra.Command, args []string) error {
		path, err := config.JournalPath(f.config)
		if err != nil {
			return err
		}
		return work(cmd, path, args)
	})
}

// onRecord records the command, by way of the process that serves, or alone.
func (f *holdFlags) onRecord(cmd *cobra.Command, path, what string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), announceTimeout)
	defer cancel()
	return f.tell(ctx, path, reading.Notice{
		Command: strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" "), Filter: what + " " + filterText(cmd, nil),
	})
}

func periodText(h *journal.Hold) string {
	switch {
	case h.Since.IsZero() && h.Until.IsZero():
		return "all records"
	case h.Since.IsZero():
		return "records before " + h.Until.Format(time.RFC3339)
	case h.Until.IsZero():
		return "records from " + h.Since.Format(time.RFC3339) + " on"
	}
	return "records from " + h.Since.Format(time.RFC3339) + " to " + h.Until.Format(time.RFC3339)
}

// userName is who calls, as the system knows it; the record has it from the kernel.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}
