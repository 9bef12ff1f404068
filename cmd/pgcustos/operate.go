package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/control"
)

// operateFlags are those of the commands that speak to the process that serves.
type operateFlags struct {
	config  string
	request control.Request
	asJSON  bool
	locks   bool
}

func newSessions() *cobra.Command {
	f := &operateFlags{request: control.Request{Do: control.Sessions}}
	cmd := f.command("sessions", "List live sessions", func(cmd *cobra.Command, a *control.Answer) error {
		if f.asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
		}
		if f.locks {
			return printLocks(cmd.OutOrStdout(), a)
		}
		return printSessions(cmd.OutOrStdout(), a.Sessions)
	})
	cmd.Flags().BoolVar(&f.asJSON, "as-json", false, "as JSON, with all that is known")
	cmd.Flags().BoolVar(&f.locks, "locks", false, "what is locked, instead of sessions")
	f.selection(cmd)
	return cmd
}

func newKill() *cobra.Command {
	f := &operateFlags{request: control.Request{Do: control.Kill}}
	return f.acting("kill", "End live sessions at once", `Ends the sessions that all of the given conditions hold for: what runs is
cancelled, the transaction is rolled back. Who ended them and why is on record.`)
}

func newLock() *cobra.Command {
	f := &operateFlags{request: control.Request{Do: control.Lock}}
	return f.acting("lock", "Keep an account, a role, a database or a network out, and end its sessions", `Refuses log-ins that all of the given conditions hold for from now on, and ends
their live sessions at once. A lock outlives restarts, until it is unlocked.
pgcustos sessions --locks lists them. Each node has its own.`)
}

func newUnlock() *cobra.Command {
	f := &operateFlags{request: control.Request{Do: control.Unlock}}
	return f.acting("unlock", "Take a lock away, named by the conditions that it was made with", "")
}

// acting makes a command that needs a reason.
func (f *operateFlags) acting(name, short, long string) *cobra.Command {
	cmd := f.command(name, short, func(cmd *cobra.Command, a *control.Answer) error {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s ended\n", counted(a.Ended, "session"))
		return err
	})
	cmd.Long = long
	f.selection(cmd)
	cmd.Flags().BoolVar(&f.request.All, "all", false, "everybody: the lock-down of an incident")
	cmd.Flags().StringVar(&f.request.Reason, "reason", "", "why; it is on record")
	_ = cmd.MarkFlagRequired("reason") // it fails for flags that do not exist
	return cmd
}

// selection adds the flags that choose sessions.
func (f *operateFlags) selection(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.request.User, "user", "", "an account: its name, UPN or SID")
	cmd.Flags().StringVar(&f.request.Role, "role", "", "a role at the backend")
	cmd.Flags().StringVar(&f.request.Database, "database", "", "a database")
	cmd.Flags().StringVar(&f.request.Source, "source", "", "an address or a network that clients come from")
	cmd.Flags().StringVar(&f.request.Session, "session", "", "a session, by its id")
}

// operateTimeout bounds how long a command waits for the process that serves.
const operateTimeout = 15 * time.Second

func (f *operateFlags) command(name, short string, show func(*cobra.Command, *control.Answer) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			dir, err := config.ControlPath(f.config)
			if err != nil {
				return err
			}
			if f.locks {
				f.request.Do = control.Locks
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), operateTimeout)
			defer cancel()
			a, err := control.Ask(ctx, dir, f.request)
			if a != nil && a.Warning != "" {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "pgcustos: %s\n", strings.Map(visible, a.Warning))
			}
			if err != nil {
				return err
			}
			return show(cmd, a)
		}),
	}
	configFlag(cmd, &f.config)
	return cmd
}

func printSessions(out io.Writer, list []proxy.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SESSION\tWHO\tFROM\tROLE@DATABASE\tRULE\tSINCE\tDOES\tFOR\tSTATEMENTS")
	for i := range list {
		s := &list[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s@%s\t%s\t%s\t%s\t%s\t%d\n", s.Session, strings.Map(visible, s.Account), s.Source, s.Role, strings.Map(visible, s.Database),
			s.Rule, s.Since.UTC().Format(time.DateTime), s.Phase, s.PhaseFor.Round(time.Second), s.Statements)
	}
	return w.Flush()
}

func printLocks(out io.Writer, a *control.Answer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SINCE\tBY\tWHAT\tREASON")
	for i := range a.Locks {
		l := &a.Locks[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.At.UTC().Format(time.DateTime), strings.Map(visible, l.By), strings.Map(visible, l.String()), strings.Map(visible, l.Reason))
	}
	return w.Flush()
}
