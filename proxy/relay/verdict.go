package relay

import (
	"fmt"
	"slices"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// verdict is what the grant makes of one statement, with the classes and tags
// that it has in this session: those of EXECUTE are those of what it executes.
type verdict struct {
	decision audit.Decision
	class    statement.Class
	tags     statement.Tag
	rule     string
	cause    string
	what     string
	missing  string
	kept     string
	// doubt tells what else a name in it may stand for.
	doubt string
	// hides is set where something of the text of what it executes is not on record, or
	// its arguments may be secrets.
	hides bool
	// batch is set for a statement that is denied only because another one of
	// its text is.
	batch bool
	// astray is set where something before it may have changed search_path.
	astray bool
	// path is set where the statement may change search_path, recodes where it may change
	// client_encoding.
	path, recodes bool
	// What its names are by the catalog: the objects of the machine's list, and how many
	// are not on it.
	resolution  statement.Resolution
	first, last int
	leftOut     uint64
	// veils is set where it may make a temporary relation without saying so.
	veils bool
	id    uint64 // of the definition that the statement makes
	slot  *slot
}

// weigh judges a statement, and with it what the names in it may stand for.
func (m *Machine) weigh(st *statement.Statement, c *candidates) verdict {
	g := m.ruling
	v := verdict{decision: audit.Allowed, class: st.Class, tags: st.Tags, path: m.setsPath(st), recodes: st.Recodes(), astray: m.path != auth.PathDefault}
	path := m.path
	if c != nil && c.displaced(m.known.search.moves) {
		path = auth.PathUnknown
	}
	d := g.DecideStatement(st, path)
	if c != nil {
		v.doubt, v.hides = c.doubt(), c.hides()
		for _, def := range c.defs[:c.n] {
			v.class |= def.Class
			v.tags |= def.Tags
			v.path = v.path || m.setsPath(def)
			v.recodes = v.recodes || def.Recodes()
			if d.Allowed {
				d = g.DecideStatement(def, pathWithin(st, def, path))
			}
		}
		if c.unknown {
			v.class |= statement.Unknown
			v.recodes = true
			v.cause = string(statement.CauseName)
			if d.Allowed {
				d = g.DecideStatement(&unknownName, path)
			}
		}
	}
	m.deny(&v, g, m.behind(st, c, &v, d))
	return v
}

// deny turns a decision of the grant into the verdict.
func (m *Machine) deny(v *verdict, g *auth.Grant, d auth.Decision) {
	if d.Allowed {
		return
	}
	v.decision, v.rule, v.what, v.missing, v.kept = audit.Denied, g.Rule, d.What, d.Missing, d.Kept
	if v.kept != "" {
		v.missing = "object " + v.kept
	}
	if g.Mode == auth.Observe {
		v.decision = audit.WouldDeny
	}
}

// hides tells whether what a name may stand for was redacted, or takes secrets.
func (c *candidates) hides() bool {
	return slices.ContainsFunc(c.defs[:c.n], func(def *statement.Statement) bool { return def.Hides || statement.TakesSecrets(def) })
}

// veiled is an EXECUTE of such a statement as it may be recorded: without its arguments.
func veiled(st *statement.Statement) *statement.Statement {
	masked := *st
	masked.Text, masked.Digest, masked.Fingerprint = statement.Mask([]byte(st.Text)), [32]byte{}, 0
	return &masked
}

// ran is the statement as its outcome is to know it.
func (v *verdict) ran(st *statement.Statement) *statement.Statement {
	if !v.hides || st.Hides {
		return st
	}
	hidden := *st
	hidden.Hides = true
	return &hidden
}

// unknownName stands for a prepared statement or portal that nobody saw being
// made.
var unknownName = statement.Statement{Class: statement.Unknown}

// emptyText stands for a text without a statement, which the server answers
// with EmptyQueryResponse.
var emptyText = statement.Statement{}

// doubt says which statements a name stands for besides the one that is taken for
// it, "" where that is certain.
func (c *candidates) doubt() string {
	if len(c.others) == 0 {
		return ""
	}
	return fmt.Sprintf("if its definition was not accepted, it is the statement of record %d", c.others)
}

// form returns the form of the text that a name most likely stands for.
func (c *candidates) form() statement.Form {
	if c.newest == nil {
		return statement.Verbatim
	}
	return c.newest.form
}

// trace returns what the text that a name most likely stands for claims.
func (c *candidates) trace() statement.Trace {
	if c.newest == nil {
		return statement.Trace{}
	}
	return c.newest.trace
}

// types returns the types of the parameters of what a name most likely stands for.
func (c *candidates) types() []uint32 {
	if c.newest == nil {
		return nil
	}
	return c.newest.types
}

// bound returns what a portal of the name is.
func (c *candidates) bound() binding {
	b := binding{def: c.merged(), form: c.form(), trace: c.trace(), refused: c.skipped, others: c.others}
	if c.newest != nil {
		b.from = c.newest.from
	}
	if !c.certain() {
		b.also = slices.Clone(c.defs[:c.n])
	}
	return b
}

// def returns the statement that a name most likely stands for.
func (c *candidates) def() *statement.Statement {
	if c.newest == nil {
		return &unknownName
	}
	return c.newest.def
}

// merged returns a statement that is all of what the name may stand for. It does what
// all of them do to names and the transaction, or nothing that is known: what ends a
// transaction is never denied, and what may be something else is no end of one.
func (c *candidates) merged() *statement.Statement {
	if c.n == 0 || c.certain() {
		return c.def()
	}
	all := *c.def()
	for _, def := range c.defs[1:c.n] {
		all.Calls = all.Calls || def.Calls
		all.Fields = append(all.Fields[:len(all.Fields):len(all.Fields)], def.Fields...)
		all.Class |= def.Class
		all.Tags |= def.Tags
		all.Objects = append(all.Objects[:len(all.Objects):len(all.Objects)], def.Objects...)
		if all.Destructive == "" {
			all.Destructive = def.Destructive
		}
	}
	if c.unknown {
		all.Class |= statement.Unknown
		all.Effect = statement.Effect{}
	}
	return &all
}

// resolve looks up the names that a statement uses; nil where it uses none.
func (m *Machine) resolve(st *statement.Statement, c *candidates) *candidates {
	switch st.Effect.Kind {
	case statement.EffectExecute:
		*c = m.statements.lookupString(st.Effect.Name, m.segment)
	case statement.EffectFetch:
		*c = m.portals.lookupString(st.Effect.Name, m.segment)
	default:
		return nil
	}
	// A Parse gives names to statements that PREPARE does not take: what they do
	// to names or the transaction when they are executed is not followed.
	for _, def := range c.defs[:c.n] {
		c.unknown = c.unknown || def.Effect.Kind != statement.EffectNone && def.Effect.Kind != statement.EffectNoPath
	}
	return c
}

// predefine enters the names that a statement makes, should it succeed.
func (m *Machine) predefine(st *statement.Statement, form statement.Form, v *verdict) {
	e := &st.Effect
	switch e.Kind {
	case statement.EffectPrepare:
		v.id = m.id()
		v.slot = m.statements.define([]byte(e.Name), v.id, m.segment, binding{def: inner(st), form: form})
	case statement.EffectDeclare:
		v.id = m.id()
		v.slot = m.portals.define([]byte(e.Name), v.id, m.segment, binding{
			def: inner(st), form: form, hold: e.Hold, portal: true, moves: m.known.search.moves,
		})
	default:
	}
}

// sign notes which record tells of what the statement defines.
func (v *verdict) sign(record uint64) {
	if v.slot != nil {
		v.slot.sign(v.id, record)
	}
}

// undefine takes back what predefine entered.
func (m *Machine) undefine(st *statement.Statement, s *slot, id uint64) {
	if s == nil {
		return
	}
	if st.Effect.Kind == statement.EffectDeclare {
		m.portals.drop(s, id)
		return
	}
	m.statements.drop(s, id)
}

func inner(st *statement.Statement) *statement.Statement {
	if st.Effect.Inner == nil {
		return &unknownName
	}
	return st.Effect.Inner
}

// followPath notes what a statement that is about to run may do to search_path:
// names without a schema can be anywhere from then on. Likewise to client_encoding, until
// the backend has told.
func (m *Machine) followPath(v *verdict) {
	m.recoding = m.recoding || v.recodes
	if v.path || v.class&(statement.Function|statement.Unknown) != 0 || v.tags&statement.TagProcedural != 0 {
		m.path, m.emptying = auth.PathUnknown, emptying{}
	}
}

// setsPath tells whether a statement sets where names without a schema are found. Who
// the session is when it is itself again, was so all the time.
func (m *Machine) setsPath(st *statement.Statement) bool {
	now := m.expected.now
	switch e := &st.Effect; {
	case m.refills(st):
		return true
	case e.Name != "" || now.unsure || now.role != "":
	case e.Kind == statement.EffectRole, e.Kind == statement.EffectAuthorization && now.user == "":
		return false
	}
	return st.SetsPath()
}

// moving tells whether the names of what a statement executes may be looked up by
// another search_path than the one before it: arguments of EXECUTE come first.
func moving(st, def *statement.Statement) bool {
	return st != def && (st.Class&(statement.Function|statement.Unknown) != 0 || st.SetsPath())
}

func pathWithin(st, def *statement.Statement, path auth.Path) auth.Path {
	if moving(st, def) {
		return auth.PathUnknown
	}
	return path
}
