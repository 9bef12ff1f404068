package proxy

import (
	"errors"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// What can change under a live session, as records name it.
const (
	byConfiguration = "configuration"
	byDirectory     = "directory"
	byTime          = "time"
	byOperator      = "operator"
)

// Apply replaces the policy: for new sessions at once, for live ones by judging
// each again (invariant 10). It returns how many it ended.
func (s *Server) Apply(p Policy) (ended int) {
	began := time.Now()
	s.setPolicy(&p)
	s.setBudgets(p.Budget)
	for _, c := range s.live() {
		c.followCatalog(&p)
		if c.rejudge(&p, p.adopted, byConfiguration, began) {
			ended++
		}
	}
	return ended
}

// catchUp judges a session again whose log-in took longer than its policy lasted:
// Apply, or who locked its account or ended its sessions, found it not live yet.
func (c *session) catchUp() {
	if why := c.killed(); why != nil {
		c.revoke(why)
	}
	if l := c.lock(); l != nil {
		c.revoke(lockedOut(l, time.Now()))
	}
	if why := c.quarantine(); why != "" {
		c.revoke(quarantined(why, time.Now()))
	}
	if p := c.server.policy.Load(); p != c.policy {
		c.followCatalog(p)
		c.rejudge(p, p.adopted, byConfiguration, time.Now())
	}
}

// adopted returns the account as the policy knows it.
func (p *Policy) adopted(id auth.Identity) (auth.Identity, error) {
	if p.Adopt == nil {
		return id, nil
	}
	return p.Adopt(id)
}

func (c *session) currentIdentity() auth.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity
}

func (c *session) setIdentity(id auth.Identity) {
	if c.allowance != nil {
		c.allowance.reading.share(&id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity = id
	var others []string
	for i := range id.Groups {
		if d := id.Groups[i].Domain; d != "" && d != id.Domain && !slices.Contains(others, d) {
			others = append(others, d)
		}
	}
	c.guestOf.Store(&others)
	at, cause := id.Ends()
	c.expires.Store(&ending{at, cause})
	c.server.rota.hurry(c)
	c.server.register.changes.Add(1)
}

// rejudge asks the rules again. A session goes on under what they give now if
// that is the same role on the same backend; otherwise what it rests on is gone,
// and it ends. It reports whether the session was ended. Now tells how the account is
// from how it was.
func (c *session) rejudge(p *Policy, now func(auth.Identity) (auth.Identity, error), change string, since time.Time) bool {
	c.judging.Lock()
	defer c.judging.Unlock()
	if change == byConfiguration {
		if r := c.withdrawn(p, since); r != nil {
			return c.revoke(r)
		}
	}
	was := c.grant.Load()
	before := c.currentIdentity()
	id, err := now(before)
	if err != nil {
		return c.revoke(refusedAs(err, change, since))
	}
	if reset := !id.PasswordSet.Equal(before.PasswordSet); reset && was.Changes.PasswordReset == auth.Terminate {
		return c.revoke(&revocation{cause: auth.CausePasswordReset, change: change, since: since})
	}
	if cause, why := id.Restricts(c.request.Method); cause != auth.CauseNone && was.Changes.PasswordReset == auth.Terminate {
		return c.revoke(&revocation{cause: cause, detail: why, change: change, since: since})
	}
	judged := id
	judged.State = was.Changes.Overlook(id.State)
	grant, err := p.Rules.Choose(judged, c.request)
	switch {
	case err == nil && grant.Role == was.Role && grant.Backend == was.Backend && c.replicationAllowed(grant):
		c.setIdentity(id)
		c.renamed(&before, &id)
		c.grant.Store(grant)
		c.machine.SetGrant(grant)
		c.recount(was.Rule, grant.Rule)
		c.narrowed.Store(nil)
		c.server.rota.hurry(c)
		if d := c.machine.Streams(grant); !d.Allowed {
			return c.revoke(&revocation{cause: auth.CauseStatement, detail: d.What + ": rule " + grant.Rule + " does not let it pass", change: change, since: since})
		}
		return false
	case err == nil && was.Changes.AnotherGrant == auth.Narrow && c.replicationAllowed(grant):
		c.setIdentity(id)
		c.narrow(&revocation{cause: auth.CauseAnotherGrant, detail: another(was, grant), change: change, since: since})
		return false
	case err == nil:
		return c.revoke(&revocation{cause: auth.CauseAnotherGrant, detail: another(was, grant), change: change, since: since})
	}
	return c.revoke(refusedAs(err, change, since))
}

func refusedAs(err error, change string, since time.Time) *revocation {
	r := &revocation{change: change, since: since}
	var f *auth.Failure
	if errors.As(err, &f) {
		r.cause, r.detail = f.Cause, f.Detail
	}
	return r
}

func another(was, is *auth.Grant) string {
	return "role " + was.Role + " on " + was.Backend + " becomes role " + is.Role + " on " + is.Backend + " by rule " + is.Rule
}
