package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/config"
)

func newReconcile() *cobra.Command {
	f := &auditFlags{}
	var others []string
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Find sessions at the backends that did not come through the proxy",
		Long: `Logs in as each role that rules name, lists that role's sessions at the server, and
looks each up in the journal, where every session of the proxy's is on record with
its process at the backend. One that is not there came another way: its line begins
with FAIL, and the exit code is 1. Replicas are known by their journals, or copies
of these.`,
		Example: "  pgcustos reconcile\n  pgcustos reconcile --with /mnt/proxy-2/journal",
		Args:    cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(f.config)
			if err != nil {
				return err
			}
			known := journals{paths: append([]string{c.Journal.Path}, others...)}
			if known.keys, err = readIdentities(f.identity); err != nil {
				return err
			}
			f.announce(cmd.Context(), cmd, c.Journal.Path, args)
			r := &report{w: cmd.OutOrStdout()}
			if err := r.reconcile(cmd.Context(), c, known); err != nil {
				return err
			}
			if r.failed {
				return errSaid
			}
			return r.err
		}),
	}
	configFlag(cmd, &f.config)
	identityFlag(cmd, &f.identity)
	cmd.Flags().StringArrayVar(&others, "with", nil, "the journal of another node, or a copy")
	return cmd
}

// journals are those that may know a session.
type journals struct {
	paths []string
	keys  *journal.Identities
}

// serverSession is one that a server has.
type serverSession struct {
	backend string
	where   string // backend, host and role, for people
	PID     int64
	Since   time.Time
	Address string
	Name    string // application_name, which anybody can set
	// Lag is how far the server's clock is ahead of this machine's.
	lag time.Duration
}

// ownSessions are those of the role that asks, for of others a server hides where
// they come from. A replication connection is one, too.
const ownSessions = `
SELECT pid, backend_start, coalesce(host(client_addr), 'a Unix socket'), application_name
FROM pg_catalog.pg_stat_activity
WHERE usename = current_user AND pid <> pg_catalog.pg_backend_pid() AND backend_type IN ('client backend', 'walsender')
ORDER BY backend_start`

// settle is how long a session may be at the server before it is on record: the
// record is made at the end of the log-in.
const settle = 2 * time.Second

// reconcile looks twice for what it does not find: a session may have come between
// the two questions.
func (r *report) reconcile(ctx context.Context, c *config.Config, known journals) error {
	first, err := r.strangers(ctx, c, known, true)
	if err != nil || len(first) == 0 {
		return err
	}
	if !wait(ctx, settle) {
		return ctx.Err()
	}
	again, err := r.strangers(ctx, c, known, false)
	if err != nil {
		return err
	}
	for i := range again {
		s := &again[i]
		if slices.ContainsFunc(first, func(o serverSession) bool { return o.PID == s.PID && o.where == s.where && o.Since.Equal(s.Since) }) {
			r.fail("%s: process %d, since %s, from %s, as %q (claimed), did not come through the proxy",
				s.where, s.PID, s.Since.UTC().Format(time.RFC3339), s.Address, s.Name)
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// strangers returns the sessions that no journal knows.
func (r *report) strangers(ctx context.Context, c *config.Config, known journals, tell bool) ([]serverSession, error) {
	var there []serverSession
	for i := range c.Backends {
		b := &c.Backends[i]
		for _, h := range b.Hosts {
			p, err := newProbe(r, c, b, h)
			if err != nil {
				return nil, err
			}
			there = append(there, p.sessions(ctx, roleDatabases(c, b.Name), tell)...)
		}
	}
	for _, path := range known.paths {
		var err error
		if there, err = without(path, known.keys, there); err != nil {
			return nil, err
		}
	}
	return there, nil
}

// sessions lists those of each role at a host.
func (p *probe) sessions(ctx context.Context, uses map[string][]string, tell bool) []serverSession {
	var all []serverSession
	for _, role := range sortedRoles(uses) {
		database := uses[role][0]
		if database == "*" {
			database = anyDatabase
		}
		found, err := p.sessionsOf(ctx, role, database)
		switch {
		case err != nil && tell:
			p.fail("%s: its sessions cannot be listed: %v", p.name(role), err)
		case err == nil && tell:
			p.ok("%s: %s at the server", p.name(role), counted(len(found), "session"))
		}
		all = append(all, found...)
	}
	return all
}

func (p *probe) sessionsOf(ctx context.Context, role, database string) ([]serverSession, error) {
	conn, err := p.connect(ctx, role, database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }() // it was only read from
	var now time.Time
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.clock_timestamp()").Scan(&now); err != nil {
		return nil, err
	}
	lag := time.Until(now)
	rows, err := conn.Query(ctx, ownSessions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (serverSession, error) {
		s := serverSession{backend: p.options.Name, where: p.name(role), lag: lag}
		return s, row.Scan(&s.PID, &s.Since, &s.Address, &s.Name)
	})
}

// without leaves out the sessions that a journal knows: by backend and process, and
// by the time, for processes' numbers come again. One that had ended before another
// process got its number is not that one.
func without(path string, keys *journal.Identities, there []serverSession) ([]serverSession, error) {
	reader, err := journal.OpenReader(journal.ReaderOptions{Path: path, Identities: keys})
	if err != nil {
		return nil, err
	}
	defer reader.Close()                         //nolint:errcheck // it was only read
	known := make([]map[string]bool, len(there)) // of each, the proxy's sessions that it may be
	for len(there) > 0 {
		rec, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return unknown(there, known), nil
		case err != nil:
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		for i := range there {
			switch {
			case rec.Type == audit.SessionStart && there[i].is(rec):
				if known[i] == nil {
					known[i] = map[string]bool{}
				}
				known[i][rec.Session] = true
			case rec.Type == audit.SessionEnd && rec.Time.Before(there[i].began().Add(-settle)):
				delete(known[i], rec.Session)
			}
		}
	}
	return there, nil
}

func unknown(there []serverSession, known []map[string]bool) (left []serverSession) {
	for i := range there {
		if len(known[i]) == 0 {
			left = append(left, there[i])
		}
	}
	return left
}

// nearby is how far the record of a session may be from its beginning at the server.
const nearby = 5 * time.Minute

func (s *serverSession) is(rec *journal.Record) bool {
	return rec.Backend == s.backend && int64(rec.BackendPID) == s.PID && rec.Time.Sub(s.began()).Abs() < nearby
}

// began is when the session did, by this machine's clock.
func (s *serverSession) began() time.Time { return s.Since.Add(-s.lag) }
