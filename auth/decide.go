package auth

import (
	"strings"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Decision is what a grant makes of a text.
type Decision struct {
	Allowed bool
	// Statement is the index of the statement that decided.
	Statement int
	// What names what is denied, as a noun phrase: "DELETE without WHERE on
	// public.orders".
	What string
	// Missing names what the grant lacks: "class DDL", "tag destructive".
	Missing string
	// Kept names the pattern that keeps the objects in question from the grant.
	Kept string
}

// Path says what is known of where a session finds names without a schema.
type Path uint8

// The paths.
const (
	PathDefault Path = iota // nothing has changed search_path: such names are public's, or the system's
	PathUnknown             // something may have: such names can be in any schema
	PathEmpty               // search_path is empty, as pg_dump has it: such relations and functions are the system's, or temporary
)

// Decide judges a text under a grant. It is pure: the same grant and judgement
// give the same decision. A text is denied when one of its statements is.
func (g *Grant) Decide(j *statement.Judgement, path Path) Decision {
	if g.Classes&j.Class == j.Class && j.Tags&Guarded&^g.Tags == 0 && !g.selects() {
		return Decision{Allowed: true}
	}
	for i := range j.Statements {
		if d := g.DecideStatement(&j.Statements[i], path); !d.Allowed {
			d.Statement = i
			return d
		}
	}
	return Decision{Allowed: true}
}

// DecideStatement judges one statement. What ends a transaction is never
// denied, so that nobody is stuck in an aborted one.
func (g *Grant) DecideStatement(s *statement.Statement, path Path) Decision {
	if s.Effect.Kind == statement.EffectCommit || s.Effect.Kind == statement.EffectRollback {
		return Decision{Allowed: true}
	}
	if missing := s.Class &^ g.Classes; missing != 0 {
		return Decision{What: describe(s), Missing: "class " + missing.String()}
	}
	if missing := s.Tags & Guarded &^ g.Tags; missing != 0 {
		return Decision{What: describe(s), Missing: "tag " + missing.String()}
	}
	if statement.OfCluster(s.Command) && !g.Replicates(true) {
		return Decision{What: describe(s), Missing: "replication: physical"}
	}
	if missing := g.missingCommand(s); missing != "" {
		return Decision{What: describe(s), Missing: missing}
	}
	return g.decideObjects(s, path)
}

// selects reports whether classes and tags alone do not decide.
func (g *Grant) selects() bool {
	return g.Commands != nil || g.DeniedCommands != nil || g.Objects != nil || g.DeniedObjects != nil
}

// missingCommand names what the grant's commands lack for the statement. One that
// could not be read may be any command.
func (g *Grant) missingCommand(s *statement.Statement) string {
	if s.Command == "" && s.Class == 0 {
		return "" // an empty text
	}
	allowed := g.Commands == nil || named(g.Commands, s.Command)
	if allowed && !named(g.DeniedCommands, s.Command) {
		return ""
	}
	if s.Command == "" {
		return "commands that cannot be read"
	}
	return "command " + s.Command
}

// decideObjects judges what the statement names. One that could not be read names
// nothing, and may touch anything.
func (g *Grant) decideObjects(s *statement.Statement, path Path) Decision {
	if !g.Looks() {
		return Decision{Allowed: true}
	}
	before := path
	all, late := s.Astray()
	for i := range s.Objects {
		o := &s.Objects[i]
		if path = before; o.Strays(all, late) {
			path = PathUnknown
		}
		for _, p := range g.DeniedObjects {
			if p.Matches(*o, path) {
				return Decision{What: describe(s), Kept: p.String()}
			}
		}
		if g.Objects != nil && !covered(g.Objects, o, path) {
			return Decision{What: describe(s), Missing: o.Kind + " " + qualified(*o)}
		}
	}
	if s.Class&statement.Unknown != 0 {
		return Decision{What: describe(s), Missing: "objects that cannot be read"}
	}
	return Decision{Allowed: true}
}

// Looks reports whether what stands behind a name can make a difference.
func (g *Grant) Looks() bool { return g.Objects != nil || g.DeniedObjects != nil }

// DecideResolved judges an object of the catalog that a statement touches by what it
// names. It can only deny: of what stands behind a name the patterns of what is denied
// count, for who let a view be read has chosen what it shows; of what a name without
// a schema stands for, both lists.
func (g *Grant) DecideResolved(s *statement.Statement, named *statement.Object, r *statement.Resolved) Decision {
	for _, p := range g.DeniedObjects {
		if p.Matches(r.Object, PathDefault) {
			return Decision{What: describeResolved(s, named, r), Kept: p.String()}
		}
	}
	if r.Through == statement.ThroughName && g.Objects != nil && !covered(g.Objects, &r.Object, PathDefault) {
		return Decision{What: describeResolved(s, named, r), Missing: r.Kind + " " + qualified(r.Object)}
	}
	return Decision{Allowed: true}
}

// DecideCalled judges a function of the catalog that a statement calls without saying so:
// by x.f, which may be a column as well.
func (g *Grant) DecideCalled(s *statement.Statement, named *statement.Object, r *statement.Resolved) Decision {
	if g.Classes&statement.Function == 0 {
		return Decision{What: describeResolved(s, named, r), Missing: "class FUNCTION"}
	}
	return g.DecideResolved(s, named, r)
}

func describeResolved(s *statement.Statement, named *statement.Object, r *statement.Resolved) string {
	how := ", which stands for "
	if r.Through != statement.ThroughName {
		how = ", behind which is "
	}
	return describe(s) + ": " + qualified(*named) + how + qualified(r.Object)
}

func describe(s *statement.Statement) string {
	what := s.Command
	switch {
	case s.Class&statement.Unknown != 0:
		return "a statement that could not be read"
	case s.Destructive != "":
		what = s.Destructive
	case what == "":
		what = "a statement"
	}
	if names := touched(s); names != "" {
		what += " on " + names
	}
	return what
}

// touched lists at most three of the objects that are more than read, or that
// are read where nothing else is done to any.
func touched(s *statement.Statement) string {
	const most = 3
	var names []string
	for _, readOnly := range []bool{false, true} {
		for _, o := range s.Objects {
			if (o.Use == statement.UseRead) == readOnly && o.Use != statement.UseExecute && o.Kind != "setting" {
				names = append(names, qualified(o))
			}
		}
		if len(names) > 0 {
			break
		}
	}
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return strings.Join(names, ", ")
}

func qualified(o statement.Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}
