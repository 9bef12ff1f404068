package rules

import (
	"github.com/pgcustos/pgcustos/auth"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// Explanation says what every rule makes of an identity and a request.
type Explanation struct {
	Identity auth.Identity
	Request  auth.Request
	// Barred is the cause that keeps the account out before any rule is asked, Why
	// says more of it where there is more to say.
	Barred auth.Cause
	Why    string
	Rules  []Verdict // every rule, in order
	// Grant is what Choose gives, nil where that is nothing.
	Grant *auth.Grant
	// Groups tells how the identity comes to be in a group, from the one that it is a
	// member of itself; nil where nobody knows.
	Groups interface{ Path(sid string) []auth.Group }
}

// Verdict is what one rule makes of a request.
type Verdict struct {
	Rule    string
	Matched string      // which group or account of the rule the identity is; empty for none
	Group   *auth.Group // that group, nil where it is an account, or none
	Failed  []Failed    // the conditions that do not hold, in order; none for a rule that matches
	Chosen  bool
}

// Failed is a condition that does not hold.
type Failed struct {
	Condition Condition
	Why       string
}

// Explain judges every rule. Its Grant is Choose's.
func (s *Set) Explain(id auth.Identity, req auth.Request) Explanation {
	req.Source = ipaddr.Plain(req.Source)
	e := Explanation{Identity: id, Request: req, Barred: id.State.Barred()}
	if e.Barred == auth.CauseNone {
		e.Barred, e.Why = id.Terms.Refuses(&req)
	}
	if e.Barred == auth.CauseNone {
		e.Barred, e.Why = id.Restricts(req.Method)
	}
	grant, err := s.Choose(id, req)
	if err == nil && e.Barred == auth.CauseNone {
		e.Grant = grant
	}
	for i := range s.rules {
		r := &s.rules[i]
		v := r.judge(&id, &req)
		v.Group = r.group(&id)
		if e.Grant != nil && r.Name == e.Grant.Rule && len(v.Failed) == 0 {
			v.Chosen = true
		}
		e.Rules = append(e.Rules, v)
	}
	return e
}

// group returns the group of the identity that the rule names first.
func (r *Rule) group(id *auth.Identity) *auth.Group {
	for _, spec := range r.Groups {
		for i := range id.Groups {
			if g := id.Groups[i]; g.Matches(spec) {
				return &g
			}
		}
	}
	return nil
}
