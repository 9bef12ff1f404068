// Package rules chooses the grant of a session: an ordered list of rules, of
// which the first whose conditions all hold gives it, and none means no session
// (invariant 1). Explain tells for every rule why it was chosen or not.
//
// What a Set gives never changes, and it is safe for concurrent use; a reload makes a new one.
package rules

import (
	"slices"
	"strings"
	"sync"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// Set is an ordered list of rules, indexed by whom they name, so that a log-in
// looks at the rules of its own groups only.
type Set struct {
	rules []Rule
	// named holds, by each folded name of a group, SID, DN or account, the
	// numbers of the rules that name it.
	groups, accounts map[string][]int

	mu    sync.Mutex
	given map[gift]*auth.Grant // guarded by mu
}

// gift is a rule's grant to those of one group, or to one account.
type gift struct {
	rule *Rule
	who  string
}

// mostGiven bounds how many grants are kept for those who get the same.
const mostGiven = 4096

// New makes a set of rules in the order of their rank. It keeps the slice.
func New(list []Rule) *Set {
	s := &Set{rules: list, groups: map[string][]int{}, accounts: map[string][]int{}, given: map[gift]*auth.Grant{}}
	for i := range list {
		index(s.groups, list[i].Groups, i)
		index(s.accounts, list[i].Accounts, i)
	}
	return s
}

func index(m map[string][]int, specs []string, rule int) {
	for _, spec := range specs {
		key := auth.FoldName(spec)
		if list := m[key]; len(list) == 0 || list[len(list)-1] != rule {
			m[key] = append(list, rule)
		}
	}
}

// Len returns the number of rules.
func (s *Set) Len() int { return len(s.rules) }

// Choose returns the grant that the rules give for the request: that of the
// first rule whose conditions all hold, or, where the request names a role,
// that of the first among those which gives this role. It is shared, and not to be
// written to.
//
// The error is an *auth.Failure: of the cause that bars the account, or of what a
// service is declared with, or with
// CauseNoMatchingRule and, for the record, the nearest misses.
func (s *Set) Choose(id auth.Identity, req auth.Request) (*auth.Grant, error) {
	if cause := id.State.Barred(); cause != auth.CauseNone {
		return nil, &auth.Failure{Cause: cause, Identity: id}
	}
	req.Source = ipaddr.Plain(req.Source)
	if cause, detail := id.Terms.Refuses(&req); cause != auth.CauseNone {
		return nil, &auth.Failure{Cause: cause, Detail: detail, Identity: id}
	}
	candidates := s.candidates(&id)
	for _, i := range candidates {
		r := &s.rules[i]
		if who, ok := r.names(&id); ok && r.meets(&id, &req) {
			return s.grant(gift{r, who}), nil
		}
	}
	return nil, &auth.Failure{
		Cause:    auth.CauseNoMatchingRule,
		Detail:   s.nearest(candidates, &id, &req),
		Identity: id,
	}
}

// grant returns the rule's grant as given to who: one for all its sessions.
func (s *Set) grant(of gift) *auth.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.given[of]; g != nil {
		return g
	}
	if len(s.given) >= mostGiven {
		clear(s.given)
	}
	g := of.rule.Grant
	g.Rule, g.Group = of.rule.Name, of.who
	s.given[of] = &g
	return &g
}

// candidates returns the rules that may name the identity, in their order.
func (s *Set) candidates(id *auth.Identity) []int {
	var out []int
	for _, name := range []string{id.Handle(), id.UPN, id.SID} {
		out = append(out, lookup(s.accounts, name)...)
	}
	for i := range id.Groups {
		g := &id.Groups[i]
		out = append(out, lookup(s.groups, g.SID)...)
		out = append(out, lookup(s.groups, g.Name)...)
		out = append(out, lookup(s.groups, g.DN)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func lookup(m map[string][]int, name string) []int {
	if name == "" {
		return nil
	}
	return m[auth.FoldName(name)]
}

// nearest describes what the rules that do name the identity ask for beyond
// that, those first that lack the least.
func (s *Set) nearest(candidates []int, id *auth.Identity, req *auth.Request) string {
	const most = 3
	var misses []Verdict
	for _, i := range candidates {
		misses = append(misses, s.rules[i].judge(id, req))
	}
	slices.SortStableFunc(misses, func(a, b Verdict) int { return a.distance() - b.distance() })
	var out []string
	for _, v := range misses {
		if len(out) == most {
			return strings.Join(out, "; ") + "; …"
		}
		out = append(out, v.Rule+": "+v.Failed[0].Why)
	}
	if len(out) == 0 {
		out = append(out, "no rule names the account or one of its groups")
	}
	if len(id.Unheard) > 0 {
		out = append(out, "groups of "+strings.Join(id.Unheard, ", ")+" are missing: that domain did not answer")
	}
	return strings.Join(out, "; ")
}

// distance says how far a rule is from matching. One about another database is
// far, whatever else holds.
func (v *Verdict) distance() int {
	const far = 100
	n := len(v.Failed)
	for _, f := range v.Failed {
		if f.Condition == ConditionDatabase {
			n += far
		}
	}
	return n
}
