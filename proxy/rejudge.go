package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// Apply replaces the policy: for new sessions at once, for live ones by judging
// each again (invariant 10). It returns how many it ended.
func (s *Server) Apply(p Policy) (ended int) {
	began := time.Now()
	s.setPolicy(&p)
	s.setBudgets(p.Budget)
	for _, c := range s.live() {
		if c.rejudge(&p, c.currentIdentity(), "configuration", began) {
			ended++
		}
	}
	return ended
}

// recheck reads the accounts of live sessions again, every Recheck, until ctx
// ends.
func (s *Server) recheck(ctx context.Context) {
	for {
		period := s.policy.Load().Recheck
		if period <= 0 {
			period = time.Minute
		}
		if !pause(ctx, period) {
			return
		}
		s.recheckOnce(ctx)
	}
}

// recheckOnce reads each account once, however many sessions it has. While the
// directory does not answer, sessions go on.
func (s *Server) recheckOnce(ctx context.Context) {
	byAccount := make(map[string][]*session)
	for _, c := range s.live() {
		guid := c.currentIdentity().GUID
		byAccount[guid] = append(byAccount[guid], c)
	}
	for _, sessions := range byAccount {
		if ctx.Err() != nil {
			return
		}
		p := s.policy.Load()
		began := time.Now()
		id, err := p.Resolver.Refresh(ctx, sessions[0].currentIdentity())
		var f *auth.Failure
		switch {
		case err == nil:
		case errors.As(err, &f) && f.Cause == auth.CauseNoSuchAccount:
			id.State |= auth.Disabled // it is gone for good
		default:
			s.log.Warn("an account of a live session could not be read again", "principal", sessions[0].context.Principal.UPN, "error", err)
			continue
		}
		for _, c := range sessions {
			c.rejudge(p, id, "directory", began)
		}
	}
}

// catchUp judges a session again whose log-in took longer than its policy lasted:
// Apply found it not live yet.
func (c *session) catchUp() {
	if p := c.server.policy.Load(); p != c.policy {
		c.rejudge(p, c.currentIdentity(), "configuration", time.Now())
	}
}

func (c *session) currentIdentity() auth.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity
}

// rejudge asks the rules again. A session goes on under what they give now if
// that is the same role on the same backend; otherwise what it rests on is gone,
// and it ends. It reports whether the session was ended.
func (c *session) rejudge(p *Policy, id auth.Identity, change string, since time.Time) bool {
	grant, err := p.Rules.Choose(id, c.request)
	was := c.grant.Load()
	if err == nil && grant.Role == was.Role && grant.Backend == was.Backend {
		c.mu.Lock()
		c.identity = id
		c.mu.Unlock()
		c.grant.Store(grant)
		c.machine.SetGrant(grant)
		c.recount(was.Rule, grant.Rule)
		return false
	}
	cause, detail := "another_grant", ""
	var f *auth.Failure
	if errors.As(err, &f) {
		cause, detail = string(f.Cause), f.Detail
	}
	c.revoke(cause, detail, change, since)
	return true
}

// revoke ends a session whose grant is gone.
func (c *session) revoke(cause, detail, change string, since time.Time) {
	e := &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.AdminShutdown,
		Message:  "terminating connection because the access it rests on was withdrawn",
		Hint:     "Connect again if you still have access; otherwise ask for it, and give the incident's id.",
		Incident: newIncident(),
	}
	_, err := c.server.recorder.Record(&audit.Event{
		Type: audit.Revocation, Prepared: c.prepared, Decision: audit.Denied, Incident: e.Incident,
		Cause: cause, Detail: change + ": " + detail, Duration: time.Since(since), Rows: -1,
	})
	if err != nil {
		c.server.log.Error("record", "type", audit.Revocation, "session", c.id, "error", err)
	}
	c.server.log.Info("session revoked", "incident", e.Incident, "session", c.id, "principal", c.context.Principal.UPN,
		"role", c.context.Role, "cause", cause, "change", change)
	c.server.metrics.RevocationSeconds.Observe(time.Since(since).Seconds())
	c.terminate("revoked", e)
}
