package proxy

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// choose finds the rule that gives the session. Without one there is none
// (invariant 1), and the client hears what it would hear for a wrong password.
func (c *session) choose(ctx context.Context) bool {
	grant, err := c.policy.Rules.Choose(c.identity, c.request)
	if why := c.quarantine(); err == nil && why != "" {
		err = &auth.Failure{Cause: auth.CauseServiceQuarantined, Detail: why}
	}
	if err != nil {
		c.hold(ctx)
		c.refuseLogin(audit.Authorization, err)
		return false
	}
	c.grant.Store(grant)
	c.context.Rule, c.context.Group = grant.Rule, grant.Group
	c.context.Backend, c.context.Role = grant.Backend, grant.Role
	if !c.judgeSettings(ctx, grant) {
		return false
	}
	if !c.replicationAllowed(grant) {
		c.refuseSession("replication_not_allowed", &pgwire.Error{
			Severity: pgwire.SeverityFatal,
			Code:     pgwire.InsufficientPrivilege,
			Message:  "permission denied for a replication connection",
			Detail:   fmt.Sprintf("Rule %q gives role %q replication: %s.", grant.Rule, grant.Role, cmp.Or(grant.Replication, auth.ReplicationNone)),
			Hint:     "Ask for a rule that gives replication: database for logical replication, or physical for backups and WAL.",
		})
		return false
	}
	c.server.metrics.Authorizations.WithLabelValues("allowed").Inc()
	return true
}

// replicationAllowed tells whether the grant gives the kind of connection that is
// asked for. Observing does not: a base backup cannot be judged statement by
// statement.
func (c *session) replicationAllowed(g *auth.Grant) bool {
	kind := c.hello.Request.Replication
	return kind == startup.NoReplication || g.Replicates(kind == startup.Physical)
}

// refuseSession ends a client that is known but cannot have a session now.
func (c *session) refuseSession(cause string, e *pgwire.Error) { c.refuseLacking(cause, "", e) }

// refuseLacking is refuseSession for want of what the rule does not give.
func (c *session) refuseLacking(cause, missing string, e *pgwire.Error) {
	e.Incident = newIncident()
	c.record(&audit.Event{
		Type: audit.Authorization, Decision: audit.Denied, Incident: e.Incident, Cause: cause, Detail: e.Message,
		Missing: missing, Claimed: c.hello.Request.User,
	})
	c.server.metrics.Authorizations.WithLabelValues("denied").Inc()
	c.server.log.Info("session refused", "incident", e.Incident, "session", c.id, "principal", c.identity.Name(),
		"role", c.context.Role, "cause", cause)
	c.refuse(e)
}

// occupy counts the session against the limits of its grant and its backend.
func (c *session) occupy() bool {
	g := c.grant.Load()
	limits := map[usageKey]int{
		{backend: g.Backend}:               c.policy.Backends[g.Backend].Options().Connections,
		{rule: g.Rule, account: c.account}: g.Limits.Connections,
	}
	full := c.server.occupy(c, limits)
	if full == (usageKey{}) {
		return true
	}
	e := &pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.TooManyConnections}
	if full.backend != "" {
		e.Message = fmt.Sprintf("too many connections for backend %q", full.backend)
		e.Detail = fmt.Sprintf("The limit is %d.", limits[full])
	} else {
		e.Message = fmt.Sprintf("too many connections for rule %q", full.rule)
		e.Detail = fmt.Sprintf("The limit is %d for one account.", limits[full])
		e.Hint = "Close a session of yours and try again."
	}
	c.refuseSession("connection_limit", e)
	return false
}

// occupy registers the session, unless that would exceed a limit: then it
// returns which. A limit of 0 is none.
func (s *Server) occupy(c *session, limits map[usageKey]int) (full usageKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, most := range limits {
		if most > 0 && s.usage[key] >= most {
			return key
		}
	}
	for key := range limits {
		s.usage[key]++
		c.usage = append(c.usage, key)
	}
	s.allow(c)
	s.sessions[c] = struct{}{} // from here on others look at it
	return usageKey{}
}

// recount counts a session that goes on under another rule against that one's
// limit from now on. It ends nobody: who has more sessions than the new rule
// lets one have gets no further ones.
func (c *session) recount(was, now string) {
	if was == now {
		return
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range c.usage {
		if key.rule == was && key.backend == "" {
			s.release(key)
			c.usage[i].rule = now
			s.usage[c.usage[i]]++
		}
	}
}

// release gives one of key's places back. mu is held.
func (s *Server) release(key usageKey) {
	if s.usage[key]--; s.usage[key] == 0 {
		delete(s.usage, key)
	}
}

// leave takes the session out of the server's books. It may be called twice.
func (c *session) leave() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range c.usage {
		s.release(key)
	}
	c.usage = nil
	s.returnKey(c)
	if _, there := s.sessions[c]; there {
		c.allowance.leave()
	}
	delete(s.sessions, c)
	s.bury(c)
}
