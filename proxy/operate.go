package proxy

import (
	"fmt"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// Status is a live session as operators see it.
type Status struct {
	Session     string        `json:"session"`
	Account     string        `json:"account"`
	UPN         string        `json:"upn,omitempty"`
	Domain      string        `json:"domain"`
	SID         string        `json:"sid"`
	Kind        string        `json:"kind"`
	Method      string        `json:"method"`
	Source      string        `json:"source"`
	Application string        `json:"application_name,omitempty"` // claimed
	Rule        string        `json:"rule"`
	Backend     string        `json:"backend"`
	Database    string        `json:"database"`
	Role        string        `json:"role"`
	BackendPID  uint32        `json:"backend_pid"`
	Since       time.Time     `json:"since"`
	Phase       string        `json:"phase"` // idle, idle in transaction, active
	PhaseFor    time.Duration `json:"phase_ns"`
	Statements  uint64        `json:"statements"`
	Denied      uint64        `json:"denied"`
	Confirmed   time.Duration `json:"confirmed_ns"` // how long ago the directory did
	Ends        string        `json:"ends,omitempty"`
}

var phases = map[relay.Phase]string{relay.PhaseIdle: "idle", relay.PhaseIdleInTransaction: "idle in transaction", relay.PhaseActive: "active"}

// Resolver is that of the policy in force.
func (s *Server) Resolver() auth.Resolver { return s.policy.Load().Resolver }

// Named tells whether a name means one account, by its form alone.
func (s *Server) Named(name string) error {
	if r, several := s.Resolver().(interface{ Named(name string) error }); several {
		return r.Named(name)
	}
	return nil
}

// Live returns the live sessions that a selector chooses; nil: all.
func (s *Server) Live(chosen *auth.Selector) []Status {
	now := s.now()
	var list []Status
	for _, c := range s.live() {
		if chosen == nil || chosen.Matches(c.subject()) {
			list = append(list, c.status(now))
		}
	}
	return list
}

func (c *session) status(now int64) Status {
	id, grant := c.currentIdentity(), c.grant.Load()
	phase, since := c.machine.Activity()
	totals := c.machine.Totals()
	st := Status{
		Session: c.id, Account: id.Handle(), UPN: id.UPN, Domain: id.Domain, SID: id.SID, Kind: string(id.Kind), Method: c.context.Method,
		Source: c.context.Source.Address.String(), Application: c.context.ApplicationName,
		Rule: grant.Rule, Backend: grant.Backend, Database: c.context.Database, Role: grant.Role, BackendPID: c.context.BackendPID,
		Since: c.started, Phase: phases[phase], PhaseFor: time.Duration(now - since),
		Statements: totals.Statements, Denied: totals.Denied, Confirmed: time.Duration(now - c.confirmed.Load()),
	}
	if r := c.narrowed.Load(); r != nil {
		st.Ends = "at the next idle point: " + r.detail
	}
	return st
}

func (c *session) subject() *auth.Subject {
	id := c.currentIdentity()
	return &auth.Subject{
		Identity: &id, Role: c.context.Role, Database: c.context.Database, Session: c.id, Source: c.context.Source.Address.Addr(),
	}
}

// Kill ends the sessions that a selector chooses, and returns how many. Those whose
// log-in is under way end as they begin.
func (s *Server) Kill(chosen *auth.Selector, detail string, since time.Time) (ended int) {
	k := kill{chosen: chosen, why: &revocation{cause: auth.CauseKilled, change: byOperator, detail: detail, since: since}}
	s.remember(k)
	return s.endThose(chosen, k.why)
}

// kill is an operator's word for sessions that were not live yet.
type kill struct {
	chosen *auth.Selector
	why    *revocation
}

// longestLogin is more than any log-in takes.
const longestLogin = time.Hour

// remember keeps a kill as long as somebody may be coming in whom it is for.
func (s *Server) remember(k kill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arriving.Load() == 0 {
		s.kills = nil
	}
	kept := []kill{k} // a new list: who comes in looks at the other one
	for _, k := range s.kills {
		if time.Since(k.why.since) < longestLogin {
			kept = append(kept, k)
		}
	}
	s.kills = kept
}

// killed returns why an operator has ended the session since the client said who it is,
// nil where nobody did.
func (c *session) killed() *revocation {
	c.server.mu.Lock()
	kills := c.server.kills
	c.server.mu.Unlock()
	if len(kills) == 0 {
		return nil
	}
	x := c.subject()
	for _, k := range kills {
		if c.asked.Before(k.why.since) && k.chosen.Matches(x) {
			return k.why
		}
	}
	return nil
}

func (s *Server) endThose(chosen *auth.Selector, r *revocation) (ended int) {
	for _, c := range s.live() {
		if chosen.Matches(c.subject()) && c.revoke(r) {
			ended++
		}
	}
	return ended
}

// SetLocks keeps out from now on what these locks choose, and ends those who are in.
func (s *Server) SetLocks(locks []auth.Lock, since time.Time) (ended int) {
	s.locks.Store(&locks)
	for i := range locks {
		ended += s.endThose(&locks[i].Selector, lockedOut(&locks[i], since))
	}
	return ended
}

func lockedOut(l *auth.Lock, since time.Time) *revocation {
	return &revocation{
		cause: auth.CauseLocked, change: byOperator, since: since,
		detail: fmt.Sprintf("%s, by %s at %s: %s", l.String(), l.By, l.At.UTC().Format(time.RFC3339), l.Reason),
	}
}

// lock returns what locks the session, nil where nothing does.
func (c *session) lock() *auth.Lock {
	locks := c.server.locks.Load()
	if locks == nil || len(*locks) == 0 {
		return nil
	}
	x := c.subject()
	for i := range *locks {
		if l := &(*locks)[i]; l.Matches(x) {
			return l
		}
	}
	return nil
}

// unlocked refuses a client that is locked.
func (c *session) unlocked() bool {
	l := c.lock()
	if l == nil {
		return true
	}
	c.refuseSession(string(auth.CauseLocked), &pgwire.Error{
		Severity: pgwire.SeverityFatal, Code: pgwire.InvalidAuthorization,
		Message: "access is locked by an operator",
		Hint:    "Ask the security desk, and give the incident's id.",
	})
	return false
}
