package proxy

import (
	"fmt"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// allowance is what one account may write to the journal, over all of its
// sessions: keyed by SID, for names change hands (invariants 3 and 9). It outlives
// them, so that coming again gives nobody a new one. Its sessions share what was read
// of it.
type allowance struct {
	budget audit.Budget

	// Guarded by Server.mu.
	sessions int
	left     time.Time // when the last of the sessions ended

	mu sync.Mutex
	// Guarded by mu.
	refusals uint64    // that no record tells of yet
	told     time.Time // when the last record of refusals was written
	last     audit.Event

	reading reading
}

const (
	// allowanceKept is for how long an account without sessions is remembered.
	allowanceKept = 24 * time.Hour
	// refusalsTold is how often refusals are recorded, with their count: what is
	// refused for want of room must not take it.
	refusalsTold = time.Minute
)

// allow gives the session a part in its account's allowance. mu is held.
func (s *Server) allow(c *session) {
	sid := c.identity.SID
	a := s.allowances[sid]
	if a == nil {
		for other, old := range s.allowances {
			if old.sessions == 0 && time.Since(old.left) > allowanceKept {
				delete(s.allowances, other)
			}
		}
		a = &allowance{}
		a.budget.SetLimits(s.policy.Load().Budget)
		s.allowances[sid] = a
	}
	a.sessions++
	c.allowance = a
	a.reading.share(&c.identity)
	c.context.Principal = principal(&c.identity)
}

// leave takes allow back.
func (a *allowance) leave() {
	if a.sessions--; a.sessions == 0 {
		a.reading.forget()
	}
	a.left = time.Now()
}

// setBudgets gives all accounts the limits of a new configuration.
func (s *Server) setBudgets(limits audit.BudgetLimits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.allowances {
		a.budget.SetLimits(limits)
	}
}

// overdrawn tells that the account's budget refused a statement: at once, and
// then every refusalsTold with the count.
func (c *session) overdrawn(incident string, err error) {
	a, l := c.allowance, c.allowance.budget.Limits()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusals++
	a.last = audit.Event{
		Type: audit.Authorization, Prepared: c.prepared, Decision: audit.Unavailable, Incident: incident, Cause: "journal_budget",
		Detail: fmt.Sprintf("%v; the rate is %d bytes/s, the burst %d bytes", err, l.Rate, l.Burst),
	}
	a.tell(c.server, false)
}

// tell records the refusals that were not told yet, where that is due or the last
// chance. mu is held.
func (a *allowance) tell(s *Server, last bool) {
	if a.refusals == 0 || time.Since(a.told) < refusalsTold && !last {
		return
	}
	a.told = time.Now()
	e := a.last
	e.Count = a.refusals
	if _, err := s.recorder.Record(&e); err != nil {
		s.log.Error("record", "incident", e.Incident, "error", err)
		return
	}
	s.log.Warn("an account is beyond what it may write to the audit journal: its statements are refused",
		"incident", e.Incident, "refusals", a.refusals, "detail", e.Detail)
	a.refusals = 0
}

// tellRefusals records those of accounts that have stopped.
func (s *Server) tellRefusals(last bool) {
	s.mu.Lock()
	all := make([]*allowance, 0, len(s.allowances))
	for _, a := range s.allowances {
		all = append(all, a)
	}
	s.mu.Unlock()
	for _, a := range all {
		a.mu.Lock()
		a.tell(s, last)
		a.mu.Unlock()
	}
}
