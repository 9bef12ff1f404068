package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
)

var _ auth.Roll = (*Server)(nil)

// followDirectory has the accounts of live sessions watched until ctx ends, by the
// directory of the policy in force.
func (s *Server) followDirectory(ctx context.Context) {
	for ctx.Err() == nil {
		watching, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		if w := s.policy.Load().Watcher; w != nil {
			work.Go(func() { w.Watch(watching, s) })
		}
		select {
		case <-s.replaced:
		case <-ctx.Done():
		}
		stop()
		work.Wait()
	}
}

// register is the list of accounts, for as long as no session comes, goes, or reads its
// account anew: a directory is asked each second, and most sessions are idle.
type register struct {
	changes atomic.Uint64

	mu       sync.Mutex
	listed   bool            // guarded by mu
	at       uint64          // guarded by mu: the changes that the list is as of
	accounts []auth.Identity // guarded by mu
}

// Accounts implements auth.Roll.
func (s *Server) Accounts() []auth.Identity {
	r := &s.register
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.changes.Load(); !r.listed || at != r.at {
		r.listed, r.at, r.accounts = true, at, s.listAccounts()
	}
	return slices.Clip(r.accounts)
}

func (s *Server) listAccounts() []auth.Identity {
	oldest := make(map[string]auth.Identity)
	for _, c := range s.live() {
		if c.cause.Load() != nil {
			continue // it is about to end
		}
		id := c.currentIdentity()
		known, there := oldest[c.account]
		unheard := slices.Concat(known.Unheard, id.Unheard)
		if !there || id.Read.Before(known.Read) {
			known = id
		}
		known.Unheard = unheard
		oldest[c.account] = known
	}
	accounts := make([]auth.Identity, 0, len(oldest))
	for _, id := range oldest {
		accounts = append(accounts, id)
	}
	return accounts
}

// of returns the live sessions of an account.
func (s *Server) of(account string) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*session
	for c := range s.byAccount[account] {
		list = append(list, c)
	}
	return list
}

// Changed implements auth.Roll.
func (s *Server) Changed(change auth.Change) {
	p := s.policy.Load()
	for _, c := range s.of(change.Key) {
		c.changed(p, &change)
	}
}

func (c *session) changed(p *Policy, change *auth.Change) {
	if change.Err == nil {
		if change.Guest == "" {
			c.confirmed.Store(c.server.now())
		}
		c.rejudge(p, func(was auth.Identity) (auth.Identity, error) { return p.adopted(was.After(change)) }, byDirectory, change.Since)
		return
	}
	r := &revocation{change: byDirectory, since: change.Since}
	var f *auth.Failure
	if errors.As(change.Err, &f) {
		r.cause, r.detail = f.Cause, f.Detail
	}
	switch r.cause {
	case auth.CauseNoSuchAccount:
		r.cause = auth.CauseDeleted
		c.revoke(r)
	case auth.CauseNotAPerson, auth.CauseIdentityMismatch:
		c.revoke(r)
	default:
		// What cannot be read is not confirmed, which ends the session in time.
		c.server.log.Warn("an account of a live session could not be read again", "principal", c.context.Principal.UPN, "error", change.Err)
	}
}

// Confirmed implements auth.Roll.
func (s *Server) Confirmed(keys []string) {
	now := s.now()
	for _, key := range keys {
		for _, c := range s.of(key) {
			c.confirmed.Store(now)
		}
	}
}

// keepAccount ends the session where what it rests on has run out: the account,
// the ticket or certificate that proved it, or the patience with a directory that
// does not answer.
func (c *session) keepAccount(now int64) {
	wall := time.Now()
	for _, end := range [...]ending{*c.expires.Load(), c.proof} {
		if !end.at.IsZero() && !wall.Before(end.at) {
			c.revoke(&revocation{cause: end.cause, change: byTime, since: end.at, detail: "since " + end.at.UTC().Format(time.RFC3339)})
			return
		}
	}
	id := c.context.Principal.Kind
	silent := c.grant.Load().Changes.Silent(auth.Kind(id))
	if unconfirmed := time.Duration(now - c.confirmed.Load()); exceeded(unconfirmed, silent) {
		c.revoke(&revocation{
			cause: auth.CauseDirectoryDown, change: byTime, since: wall.Add(silent - unconfirmed),
			detail: fmt.Sprintf("the account was confirmed %s ago; the rule lets it go on for %s", unconfirmed.Round(time.Second), silent),
		})
	}
}

// silent tells for how long a domain has not answered.
func (s *Server) silent(domain string) time.Duration {
	if w, several := s.policy.Load().Watcher.(auth.Silence); several {
		return w.Silent(domain)
	}
	return 0
}

// keepGuest takes from the account the groups of another domain that has been silent
// for longer than the rule goes on for: what rests on them ends.
func (c *session) keepGuest() {
	limit := c.grant.Load().Changes.Silent(auth.Kind(c.context.Principal.Kind))
	for _, domain := range *c.guestOf.Load() {
		silent := c.server.silent(domain)
		if !exceeded(silent, limit) {
			continue
		}
		gone := &auth.Change{Guest: domain, Now: auth.Identity{Unheard: []string{domain}}}
		c.rejudge(c.server.policy.Load(), func(was auth.Identity) (auth.Identity, error) { return was.After(gone), nil }, byTime, time.Now().Add(limit-silent))
	}
}

// renamed records that the account of a live session has other names now. Nothing
// else happens: the session is the account's, and its records keep the names that
// it began with.
func (c *session) renamed(was, is *auth.Identity) {
	var parts []string
	for _, name := range []struct{ what, was, is string }{{"account", was.Account, is.Account}, {"upn", was.UPN, is.UPN}, {"dn", was.DN, is.DN}} {
		if name.was != name.is {
			parts = append(parts, fmt.Sprintf("%s %q is %q now", name.what, name.was, name.is))
		}
	}
	if len(parts) == 0 {
		return
	}
	context := c.context
	context.Principal = principal(is)
	_, err := c.server.recorder.Record(&audit.Event{
		Type: audit.Account, Context: &context, Decision: audit.Allowed, Cause: "renamed", Detail: strings.Join(parts, "; "), Rows: -1,
	})
	if err != nil {
		c.server.log.Error("record", "type", audit.Account, "session", c.id, "error", err)
	}
}
