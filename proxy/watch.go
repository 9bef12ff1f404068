package proxy

import (
	"context"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// watchPeriod is how exactly limits are kept.
const watchPeriod = 100 * time.Millisecond

// watched is what Server.watch remembers of a session.
type watched struct {
	cancelled int64 // since when the activity ran that was cancelled last
}

// enliven lets others reach a session that is relayed from now on; deaden takes
// it back.
func (s *Server) enliven(c *session) {
	s.mu.Lock()
	c.watched = watched{cancelled: -1}
	c.live = true
	if s.byAccount[c.account] == nil {
		s.byAccount[c.account] = make(map[*session]struct{})
	}
	s.byAccount[c.account][c] = struct{}{}
	s.use(c)
	s.register.changes.Add(1)
	s.mu.Unlock()
	s.rota.put(c, 0)
}

func (s *Server) deaden(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bury(c)
}

// bury takes a session from those that are live. mu is held.
func (s *Server) bury(c *session) {
	c.live = false
	s.register.changes.Add(1)
	s.rota.drop(c)
	if delete(s.byAccount[c.account], c); len(s.byAccount[c.account]) == 0 {
		delete(s.byAccount, c.account)
	}
}

// live returns the sessions that are relayed now.
func (s *Server) live() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*session, 0, len(s.sessions))
	for c := range s.sessions {
		if c.live {
			list = append(list, c)
		}
	}
	return list
}

// watch keeps the limits of all sessions until ctx ends: by the proxy's own
// clock, for a client can SET its own.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	var due []*session
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := s.now()
		due = s.rota.turn(due[:0])
		for _, c := range due {
			c.keepAccount(now)
			c.keepGuest()
			c.keepNarrow()
			c.keepLimits(now)
			s.rota.put(c, c.leisure(now))
		}
		clear(due)
	}
}

// leisure is how long nothing that limits the session can come to pass: what runs has
// its rest, and what has not begun all of it.
func (c *session) leisure(now int64) time.Duration {
	if c.narrowed.Load() != nil {
		return 0
	}
	left := horizon
	within := func(limit, took time.Duration) {
		if limit > 0 {
			left = min(left, limit-took)
		}
	}
	phase, since := c.machine.Activity()
	in := func(p relay.Phase) time.Duration {
		if p == phase {
			return time.Duration(now - since)
		}
		return 0
	}
	g := c.grant.Load()
	within(g.Limits.Session, time.Since(c.started))
	within(g.Limits.Statement, in(relay.PhaseActive))
	within(g.Limits.IdleInTransaction, in(relay.PhaseIdleInTransaction))
	within(g.Limits.Idle, in(relay.PhaseIdle))
	within(g.Changes.Silent(auth.Kind(c.context.Principal.Kind)), time.Duration(now-c.confirmed.Load()))
	for _, end := range [...]ending{*c.expires.Load(), c.proof} {
		if !end.at.IsZero() {
			left = min(left, time.Until(end.at))
		}
	}
	for _, domain := range *c.guestOf.Load() {
		within(g.Changes.Silent(auth.Kind(c.context.Principal.Kind)), c.server.silent(domain))
	}
	return left
}

func (c *session) keepLimits(now int64) {
	l := &c.grant.Load().Limits
	if exceeded(time.Since(c.started), l.Session) {
		c.terminate("session_limit", limitError(pgwire.AdminShutdown, "terminating connection due to the session limit of its rule"))
		return
	}
	phase, since := c.machine.Activity()
	took := time.Duration(now - since)
	switch phase {
	case relay.PhaseActive:
		c.keepStatementLimit(l, since, took)
	case relay.PhaseIdleInTransaction:
		if exceeded(took, l.IdleInTransaction) {
			c.terminate("idle_in_transaction_limit", limitError(pgwire.IdleInTransactionTimeout, "terminating connection due to idle-in-transaction timeout"))
		}
	case relay.PhaseIdle:
		if exceeded(took, l.Idle) {
			c.terminate("idle_limit", limitError(pgwire.IdleSessionTimeout, "terminating connection due to idle-session timeout"))
		}
	}
}

// cancelPatience is how long a statement may outlive its cancel.
const cancelPatience = 10 * time.Second

// keepStatementLimit cancels a statement once; PostgreSQL answers it with 57014.
// Where it does not, the session ends: a cancel does nothing while the backend
// waits for a client that does not read, or that never sends the rest of a
// pipeline.
func (c *session) keepStatementLimit(l *auth.Limits, since int64, took time.Duration) {
	switch {
	case !exceeded(took, l.Statement):
	case c.watched.cancelled != since:
		c.watched.cancelled = since
		c.server.work.Go(func() { c.cancelOwn("statement_limit") })
	case took > l.Statement+cancelPatience:
		c.terminate("statement_limit", limitError(pgwire.QueryCanceled, "terminating connection due to the statement limit of its rule"))
	}
}

func exceeded(took, limit time.Duration) bool { return limit > 0 && took > limit }

func limitError(code, message string) *pgwire.Error {
	return &pgwire.Error{Severity: pgwire.SeverityFatal, Code: code, Message: message}
}
