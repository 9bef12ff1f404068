package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// ruled is what a grant makes of a text, as the first of a session.
type ruled struct {
	judgement *statement.Judgement
	each      []auth.Decision // of the statements; none without a grant
	whole     auth.Decision
	grant     *auth.Grant // nil where there is no session
}

// rule has a text read as the proxy reads it, and asks the grant about it.
func (x *explained) rule(ctx context.Context, text string) error {
	var judge *statement.Reader
	err := x.steps.time("start the parser", func() (err error) { judge, err = openJudge(); return err })
	if err != nil {
		return err
	}
	defer judge.Close()
	r := &ruled{grant: x.rules.Grant}
	_ = x.steps.time("read the statement", func() error {
		r.judgement = judge.Judge(ctx, []byte(text), statement.UTF8)
		return nil
	})
	if r.grant != nil {
		_ = x.steps.time("ask the grant", func() error {
			r.whole = r.grant.Decide(r.judgement, auth.PathDefault)
			for i := range r.judgement.Statements {
				r.each = append(r.each, r.grant.DecideStatement(&r.judgement.Statements[i], auth.PathDefault))
			}
			return nil
		})
	}
	x.statement = r
	return nil
}

// passes reports whether the text reaches the backend.
func (r *ruled) passes() bool {
	return r.grant != nil && (r.whole.Allowed || r.grant.Mode == auth.Observe)
}

// verdict puts what becomes of the text in a word, and in words.
func (r *ruled) verdict() (decision, why string) {
	switch {
	case r.grant == nil:
		return "no_session", "there is no session that could send it"
	case r.whole.Allowed && len(r.judgement.Statements) == 0:
		return "allowed", "the text is empty"
	case r.whole.Allowed:
		return "allowed", fmt.Sprintf("rule %q gives role %q all that it needs", r.grant.Rule, r.grant.Role)
	}
	decision, why = "denied", reason(r.grant, &r.whole)
	if len(r.each) > 1 {
		why = fmt.Sprintf("statement %d: %s; none of the text runs", r.whole.Statement+1, why)
	}
	if r.grant.Mode == auth.Observe {
		return "would_deny", why + " (mode: observe lets it pass)"
	}
	return decision, why
}

// reason says why a statement is denied, as the client hears it.
func reason(g *auth.Grant, d *auth.Decision) string {
	if d.Kept != "" {
		return fmt.Sprintf("%s: rule %q keeps role %q from %s", d.What, g.Rule, g.Role, d.Kept)
	}
	return fmt.Sprintf("%s: rule %q does not give role %q %s", d.What, g.Rule, g.Role, d.Missing)
}

func (r *ruled) text(w io.Writer) error {
	var b strings.Builder
	for i := range r.judgement.Statements {
		s := &r.judgement.Statements[i]
		fmt.Fprintf(&b, "statement  %s\n             class %s, tags %s\n", command(s), s.Class, orNone(s.Tags.String()))
		for _, o := range s.Objects {
			fmt.Fprintf(&b, "             %s %s: %s\n", o.Kind, strings.Map(visible, qualifiedName(&o)), o.Use)
		}
		if len(r.each) > 0 {
			outcome := "allowed"
			if d := &r.each[i]; !d.Allowed {
				outcome = "denied: " + reason(r.grant, d)
			}
			fmt.Fprintf(&b, "             %s\n", strings.Map(visible, outcome))
		}
	}
	if r.judgement.Cause != statement.CauseNone {
		fmt.Fprintf(&b, "unread     %s\n", r.judgement.Cause)
	}
	decision, why := r.verdict()
	fmt.Fprintf(&b, "decision   %s: %s\n", strings.ReplaceAll(decision, "_", " "), strings.Map(visible, why))
	_, err := io.WriteString(w, b.String())
	return err
}

func command(s *statement.Statement) string {
	switch {
	case s.Destructive != "":
		return s.Destructive
	case s.Command != "":
		return s.Command
	}
	return "that could not be read"
}

func qualifiedName(o *statement.Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
