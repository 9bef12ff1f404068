package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/auth"
)

// Condition is one thing that a rule asks for.
type Condition string

// The conditions, in the order in which they are judged.
const (
	ConditionIdentity Condition = "groups and accounts"
	ConditionDatabase Condition = "databases"
	ConditionSource   Condition = "sources"
	ConditionMethod   Condition = "methods"
	ConditionAssured  Condition = "assurance"
	ConditionKind     Condition = "kinds"
	ConditionService  Condition = "services" // what the declaration of a service names
	ConditionReason   Condition = "reason"
	ConditionRole     Condition = "role" // that the client asked for
)

// names returns which of the rule's groups or accounts the identity is.
func (r *Rule) names(id *auth.Identity) (string, bool) {
	for _, spec := range r.Groups {
		for i := range id.Groups {
			if g := &id.Groups[i]; g.Matches(spec) {
				return label(g), true
			}
		}
	}
	for _, spec := range r.Accounts {
		if id.Matches(spec) {
			return spec, true
		}
	}
	return "", false
}

// label names a group for people, by its SID where nothing else is known.
func label(g *auth.Group) string {
	if g.Name != "" {
		return g.Name
	}
	return g.SID
}

// meets reports whether the conditions beyond the identity hold.
func (r *Rule) meets(id *auth.Identity, req *auth.Request) bool {
	return r.hasDatabase(req) && r.hasSource(req) && r.hasMethod(req) && r.hasAssurance(req) && r.hasKind(id) && id.Terms.Allows(r.Name) && r.hasReason(req) && r.hasRole(req)
}

func (r *Rule) hasDatabase(req *auth.Request) bool {
	return req.Database != "" && (slices.Contains(r.Databases, req.Database) || slices.Contains(r.Databases, "*"))
}

func (r *Rule) hasSource(req *auth.Request) bool {
	for _, p := range r.Sources {
		if p.Contains(req.Source) {
			return true
		}
	}
	return false
}

func (r *Rule) hasMethod(req *auth.Request) bool {
	return len(r.Methods) == 0 || slices.Contains(r.Methods, req.Method)
}

// hasAssurance looks into the ticket alone: the directory does not know how
// somebody logged on.
func (r *Rule) hasAssurance(req *auth.Request) bool {
	return len(r.Assurance) == 0 || slices.ContainsFunc(r.Assurance, func(sid string) bool { return slices.Contains(req.Assurance, sid) })
}

func (r *Rule) hasKind(id *auth.Identity) bool {
	return len(r.Kinds) == 0 || slices.Contains(r.Kinds, id.Kind)
}

// hasReason takes a pattern for one of the whole reason, whether or not it is
// anchored.
func (r *Rule) hasReason(req *auth.Request) bool {
	if r.Reason == nil {
		return true
	}
	if req.Reason == "" {
		return false
	}
	// Leftmost-first matching may find a shorter match than the whole where
	// alternatives overlap; such a reason is not accepted, which errs on the
	// safe side. Patterns from the configuration are anchored when compiled.
	at := r.Reason.FindStringIndex(req.Reason)
	return at != nil && at[0] == 0 && at[1] == len(req.Reason)
}

func (r *Rule) hasRole(req *auth.Request) bool {
	return req.Role == "" || r.Grant.Role == req.Role
}

// judge says which of the rule's conditions fail, all of them, in order.
func (r *Rule) judge(id *auth.Identity, req *auth.Request) Verdict {
	v := Verdict{Rule: r.Name}
	fail := func(c Condition, format string, args ...any) {
		v.Failed = append(v.Failed, Failed{Condition: c, Why: fmt.Sprintf(format, args...)})
	}
	who, ok := r.names(id)
	v.Matched = who
	if !ok {
		fail(ConditionIdentity, "not in %s", listing(slices.Concat(r.Groups, r.Accounts)))
	}
	if !r.hasDatabase(req) {
		fail(ConditionDatabase, "database %q is not among %s", req.Database, listing(r.Databases))
	}
	if !r.hasSource(req) {
		fail(ConditionSource, "source %s is not in %s", req.Source, listing(r.Sources))
	}
	if !r.hasMethod(req) {
		fail(ConditionMethod, "method %s is not among %s", or(string(req.Method), "(none)"), listing(r.Methods))
	}
	if !r.hasAssurance(req) {
		fail(ConditionAssured, "the client's ticket has none of %s", listing(r.Assurance))
	}
	if !r.hasKind(id) {
		fail(ConditionKind, "kind %s is not among %s", or(string(id.Kind), "(none)"), listing(r.Kinds))
	}
	if !id.Terms.Allows(r.Name) {
		fail(ConditionService, "the service is declared for %s alone", listing(id.Terms.Rules))
	}
	switch {
	case r.hasReason(req):
	case req.Reason == "":
		fail(ConditionReason, "a reason must be given (options=-c pgcustos.reason=…) and none was")
	default:
		fail(ConditionReason, "the reason %q does not match %s", req.Reason, r.Reason)
	}
	if !r.hasRole(req) {
		fail(ConditionRole, "gives role %s, and %q was asked for", r.Grant.Role, req.Role)
	}
	return v
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// listing prints a condition's alternatives.
func listing[T any](list []T) string {
	if len(list) == 0 {
		return "an empty list"
	}
	return strings.Join(texts(list), ", ")
}

func texts[T any](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprint(v)
	}
	return out
}
