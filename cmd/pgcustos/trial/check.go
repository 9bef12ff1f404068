package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Verdict is what rules make of a case.
type Verdict struct {
	Decision string // allowed, denied, would_deny, no_session
	Rule     string
	Role     string
	Missing  string // what the grant lacks
	Why      string // there is no session
}

const noSession = "no_session"

// Judge tells what the rules make of the case. The error is one of the proxy's
// own, not of the case.
func Judge(ctx context.Context, set *rules.Set, judge statement.Judge, c *config.Case) (Verdict, error) {
	g, err := set.Choose(c.Identity, c.Request)
	var f *auth.Failure
	if errors.As(err, &f) {
		return Verdict{Decision: noSession, Why: strings.TrimSpace(string(f.Cause) + ": " + f.Detail)}, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Decision: string(audit.Allowed), Rule: g.Rule, Role: g.Role}
	if c.Statement == "" {
		return v, nil
	}
	s := newSession(judge, g)
	for _, text := range c.Before {
		if _, err := s.send(ctx, text); err != nil {
			return Verdict{}, err
		}
	}
	rulings, err := s.send(ctx, c.Statement)
	for _, r := range rulings {
		if r.missing != "" || r.decision != audit.Allowed && v.Decision == string(audit.Allowed) {
			v.Decision, v.Missing = string(r.decision), r.missing
		}
		if v.Missing != "" {
			break
		}
	}
	return v, err
}

// Differs says how the verdict is not what was expected, "" where it is.
func (v *Verdict) Differs(e *config.Expectation) string {
	var out []string
	differ := func(what, want, got string) {
		if want != "" && !strings.EqualFold(want, got) {
			if got == "" {
				got = "none"
			}
			out = append(out, fmt.Sprintf("%s %s, expected %s", what, got, want))
		}
	}
	differ("decision", e.Decision, v.Decision)
	differ("rule", e.Rule, v.Rule)
	differ("role", e.Role, v.Role)
	differ("missing", e.Missing, v.Missing)
	if len(out) == 0 {
		return ""
	}
	said := strings.Join(out, "; ")
	switch {
	case v.Why != "":
		said += " (" + v.Why + ")"
	case v.Missing != "" && e.Missing == "":
		said += fmt.Sprintf(" (rule %s does not give %s)", v.Rule, v.Missing)
	}
	return said
}
