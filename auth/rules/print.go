package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pgcustos/pgcustos/auth"
)

// String prints the explanation, a line for each step.
func (e Explanation) String() string {
	var b strings.Builder
	e.writeIdentity(&b)
	e.writeRequest(&b)
	if e.Barred != auth.CauseNone {
		fmt.Fprintf(&b, "denied     the account is kept out (%s); no rule is asked\n", or(e.Why, string(e.Barred)))
	}
	for _, v := range e.Rules {
		e.writeVerdict(&b, v)
	}
	e.writeGrant(&b)
	return b.String()
}

func (e Explanation) writeIdentity(b *strings.Builder) {
	id := &e.Identity
	fmt.Fprintf(b, "account    %s (%s)\n", clean(id.Handle()), or(string(id.Kind), "unknown kind"))
	line(b, "upn", id.UPN)
	line(b, "domain", id.Domain)
	line(b, "dn", id.DN)
	line(b, "sid", id.SID)
	line(b, "guid", id.GUID)
	writeTerms(b, id.Terms)
	state := "in good order"
	if barred := id.State.Barred(); barred != auth.CauseNone {
		state = string(barred)
	}
	line(b, "state", state)
	for i := range id.Groups {
		g := &id.Groups[i]
		what := g.SID
		if g.Name != "" {
			what = g.Name + "  " + g.SID
		}
		line(b, "group", what)
	}
	line(b, "unheard", strings.Join(id.Unheard, ", "))
}

func writeTerms(b *strings.Builder, t *auth.Terms) {
	if t == nil {
		return
	}
	line(b, "owner", t.Owner)
	line(b, "purpose", t.Purpose)
	if !t.Ends.IsZero() {
		line(b, "ends", t.Ends.UTC().Format(time.RFC3339))
	}
	if t.PasswordAge > 0 {
		line(b, "password", "at most "+strconv.Itoa(int(t.PasswordAge/(24*time.Hour)))+" days old")
	}
	for _, only := range []struct {
		key  string
		list []string
	}{{"only from", texts(t.Sources)}, {"only by", texts(t.Methods)}, {"only rules", t.Rules}} {
		line(b, only.key, strings.Join(only.list, ", "))
	}
}

func (e Explanation) writeRequest(b *strings.Builder) {
	line(b, "database", e.Request.Database)
	line(b, "source", e.Request.Source.String())
	line(b, "method", string(e.Request.Method))
	line(b, "assurance", strings.Join(e.Request.Assurance, ", "))
	line(b, "asks role", e.Request.Role)
	line(b, "reason", e.Request.Reason)
}

func line(b *strings.Builder, key, s string) {
	if s != "" {
		fmt.Fprintf(b, "%-10s %s\n", key, clean(s))
	}
}

// clean quotes what the directory or the client put into a text that a terminal
// would act on (invariant 11).
func clean(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

func (e Explanation) writeVerdict(b *strings.Builder, v Verdict) {
	switch {
	case v.Chosen:
		fmt.Fprintf(b, "rule       %s: chosen, through %s\n", v.Rule, clean(v.Matched))
	case len(v.Failed) == 0 && e.Barred == auth.CauseNone:
		fmt.Fprintf(b, "rule       %s: would match through %s, but an earlier rule was chosen\n", v.Rule, clean(v.Matched))
	case len(v.Failed) == 0:
		fmt.Fprintf(b, "rule       %s: would match through %s\n", v.Rule, clean(v.Matched))
	default:
		fmt.Fprintf(b, "rule       %s: no\n", v.Rule)
		for _, f := range v.Failed {
			fmt.Fprintf(b, "             %s: %s\n", f.Condition, f.Why)
		}
	}
	e.writePath(b, v.Group)
}

// writePath tells how the account comes to be in the group.
func (e Explanation) writePath(b *strings.Builder, g *auth.Group) {
	if g == nil {
		return
	}
	way := []string{clean(e.Identity.Handle())}
	if e.Groups != nil {
		for _, via := range e.Groups.Path(g.SID) {
			way = append(way, named(&via))
		}
	}
	if len(way) == 1 {
		way = append(way, "…", named(g))
	}
	fmt.Fprintf(b, "             path: %s\n", strings.Join(way, " > "))
}

// named is a group by its name and SID.
func named(g *auth.Group) string {
	if g.Name == "" {
		return g.SID
	}
	return clean(g.Name) + " (" + g.SID + ")"
}

func (e Explanation) writeGrant(b *strings.Builder) {
	g := e.Grant
	if g == nil {
		if e.Barred == auth.CauseNone {
			b.WriteString("denied     no rule matches\n")
		}
		return
	}
	line(b, "rule", g.Rule)
	line(b, "backend", g.Backend)
	line(b, "role", g.Role)
	line(b, "classes", g.Classes.String())
	line(b, "tags", or(g.Tags.String(), "(none)"))
	printed(b, "commands", g.Commands)
	printed(b, "denies", g.DeniedCommands)
	printed(b, "objects", g.Objects)
	printed(b, "denies", g.DeniedObjects)
	line(b, "limits", limits(g.Limits))
	line(b, "mode", string(g.Mode))
	line(b, "durability", string(g.Durability))
	line(b, "changes", changes(&g.Changes, e.Identity.Kind))
	if g.Replicates(false) {
		line(b, "replication", string(g.Replication))
	}
	line(b, "records", fmt.Sprintf("text %s, parameters %s, copy %s", or(string(g.Record.StatementText), "full"), or(string(g.Record.Parameters), "none"), or(string(g.Record.Copy), "none")))
}

// printed writes a line for each of a list.
func printed[T fmt.Stringer](b *strings.Builder, key string, list []T) {
	for _, item := range list {
		line(b, key, item.String())
	}
}

func changes(c *auth.Changes, k auth.Kind) string {
	silent := "for ever"
	if d := c.Silent(k); d > 0 {
		silent = d.String()
	}
	return fmt.Sprintf("another grant %s, locked out %s, password reset %s, directory silent %s",
		or(string(c.AnotherGrant), "terminate"), or(string(c.LockedOut), "terminate"), or(string(c.PasswordReset), "keep"), silent)
}

func limits(l auth.Limits) string {
	var out []string
	add := func(name string, set bool, v any) {
		if set {
			out = append(out, fmt.Sprintf("%s %v", name, v))
		}
	}
	add("statement", l.Statement > 0, l.Statement)
	add("idle", l.Idle > 0, l.Idle)
	add("idle in transaction", l.IdleInTransaction > 0, l.IdleInTransaction)
	add("session", l.Session > 0, l.Session)
	add("connections", l.Connections > 0, l.Connections)
	return or(strings.Join(out, ", "), "(none)")
}
