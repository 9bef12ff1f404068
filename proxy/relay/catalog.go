package relay

import (
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/catalog"
)

// knowledge is what a session makes of its database's catalog. It keeps no snapshot:
// an idle session would keep what nobody else needs any more.
type knowledge struct {
	search search
	// altered is set where the open transaction may have changed the catalog: what is
	// known is not as of now for this session.
	altered bool
	// veiled is set where something ran that may have made temporary relations.
	veiled bool

	of      *catalog.Database // that what follows was made of
	scope   catalog.Scope     // by scoped, where placed
	placed  bool
	scoped  scopeOf
	kept    map[int32]bool // relations that have a step behind them that is denied, and such that have none
	keptFor keptFor
	found   []statement.Resolved // scratch, of the statements of the message at hand
}

// search is the session's search_path, as names are looked up by at the moment.
type search struct {
	value string
	known bool
	// reported is what the backend reported last: from PostgreSQL 18 on.
	reported string
	reports  bool
	// moves counts what may have changed it.
	moves uint32
}

// scopeOf is what a scope was made of.
type scopeOf struct {
	snapshot uint64
	path     string
	role     string
}

type keptFor struct {
	snapshot uint64
	grant    *auth.Grant
}

const (
	// maxListed bounds the objects that one statement's record lists beside those that
	// it names, and maxFound those of all statements of one message.
	maxListed = 32
	maxFound  = 4096
	// keptFound is how many a session keeps room for.
	keptFound = 64
	// maxLike bounds how many relations of one name are looked at where it is not known
	// which one is meant.
	maxLike = 256
	// maxKept bounds the relations whose judgement is kept, and shortSteps is how many
	// steps are judged anew each time.
	maxKept    = 1024
	shortSteps = 8
)

// SetCatalog makes the machine go by another catalog from now on; nil for none.
func (m *Machine) SetCatalog(d *catalog.Database) { m.catalog.Store(d) }

// openCatalog takes what is known for the client's message at hand.
func (m *Machine) openCatalog() {
	m.view, m.current = nil, false
	if m.database = m.catalog.Load(); m.database == nil {
		return
	}
	if m.known.of != m.database {
		m.known.of, m.known.scoped, m.known.keptFor = m.database, scopeOf{}, keptFor{}
	}
	m.view, m.current = m.database.View()
	m.current = m.current && !m.known.altered
	if k := &m.known; m.view != nil && !k.search.known && k.search.moves == 0 {
		// Nothing has changed it since the session began.
		k.search.value, k.search.known = m.view.Path(m.opt.Role)
	}
}

// closeCatalog lets go of it.
func (m *Machine) closeCatalog() {
	m.view, m.database = nil, nil
	if k := &m.known; len(k.found) > 0 {
		clear(k.found)
		if k.found = k.found[:0]; cap(k.found) > keptFound {
			k.found = nil
		}
	}
}

// where returns the scope of names without a schema, nil where it is not known.
func (m *Machine) where() *catalog.Scope {
	k := &m.known
	if m.expected.now.unsure || m.expected.now != m.identity.now || !k.search.known {
		return nil
	}
	role := m.expected.now.current()
	if role == "" {
		role = m.opt.Role
	}
	of := scopeOf{m.view.Number(), k.search.value, role}
	if k.scoped != of {
		k.scope, k.placed = m.view.Scope(role, k.search.value)
		k.scoped = of
	}
	if !k.placed {
		return nil
	}
	return &k.scope
}

// lookup is the looking up of one statement's names.
type lookup struct {
	m     *Machine
	st    *statement.Statement // that is sent
	where *catalog.Scope
	d     auth.Decision // the first denial
	any   bool          // there was a name to look up
	sure  bool          // each is known
	moves bool          // the statement at hand may give what it alters another name
	room  int           // of the list
	over  uint64        // objects that it had none for
	calls bool          // a name behind a dot may be a function
}

// behind holds what a statement names, and what the names that it executes stand for,
// against the catalog. The decision can only become a denial.
func (m *Machine) behind(st *statement.Statement, c *candidates, v *verdict, d auth.Decision) auth.Decision {
	if m.database == nil {
		return d
	}
	v.first = len(m.known.found)
	l := lookup{m: m, st: st, d: d, sure: m.current, room: min(maxListed, maxFound-len(m.known.found))}
	if m.view != nil {
		l.where = m.where()
	}
	v.veils = l.where == nil && createsSomewhere(st)
	l.statement(st, c != nil && c.displaced(m.known.search.moves))
	if c != nil {
		for _, def := range c.defs[:c.n] {
			if def != st {
				l.statement(def, c.displaced(m.known.search.moves) || moving(st, def))
			}
		}
		l.sure = l.sure && c.n == 1 && c.certain()
	}
	v.last, v.leftOut = len(m.known.found), l.over
	if l.calls {
		v.class |= statement.Function
		l.sure = false
	}
	switch {
	case v.class&statement.Unknown != 0:
		v.resolution = statement.ResolutionSyntactic
	case !l.any:
	case l.sure:
		v.resolution = statement.ResolutionResolved
	default:
		v.resolution = statement.ResolutionSyntactic
	}
	return l.d
}

// createsSomewhere tells whether a statement makes a relation where search_path leads
// to: under pg_temp, public that is a temporary one.
func createsSomewhere(st *statement.Statement) bool {
	for i := range st.Objects {
		o := st.Objects[i]
		if o.Use != statement.UseCreate || o.Schema != "" {
			continue
		}
		if o.Use = statement.UseRead; o.InCatalog() == statement.Relation {
			return true
		}
	}
	return false
}

// displaced tells whether search_path may be another one than when the portal was
// bound whose names are looked up: they were, then.
func (c *candidates) displaced(moves uint32) bool {
	return c.portal && c.oldest != moves
}

func (l *lookup) statement(st *statement.Statement, displaced bool) {
	all, late := st.Astray()
	l.moves = renames(st)
	for i := range st.Objects {
		if o := &st.Objects[i]; o.Kind == "schema" {
			l.schema(st, o)
		} else if o.InCatalog() != statement.NotInCatalog {
			where := l.where
			if displaced || o.Strays(all, late) {
				where = nil
			}
			l.any = true
			l.object(o, where)
		}
	}
	where := l.where
	if displaced || late {
		where = nil
	}
	for _, f := range st.Fields {
		l.field(f, where)
	}
}

// field takes a name behind a dot for a call, where the database has a function of that
// name that it may be.
func (l *lookup) field(called string, where *catalog.Scope) {
	if l.m.view == nil {
		return
	}
	o := &statement.Object{Name: called, Kind: "function", Use: statement.UseExecute}
	for _, i := range l.m.view.Own(called) {
		self := l.m.view.Self(l.m.view.Routine(i), o.Use)
		if where != nil && !where.Leads(self.Schema) {
			continue
		}
		l.any, l.calls = true, true
		if d := l.m.ruling.DecideCalled(l.st, o, &self); !d.Allowed && l.d.Allowed {
			l.d = d
		}
		l.list(self)
	}
}

func (l *lookup) object(o *statement.Object, where *catalog.Scope) {
	m := l.m
	if m.view == nil {
		return
	}
	h, next := m.view.Next(o, where, 0)
	l.sure = l.sure && h.Found && (!h.Named || !m.hidesTemporary(o))
	if h.Found {
		l.hit(o, h)
	}
	if h.Named && h.Found && o.InCatalog() == statement.Routine {
		l.furtherRoutines(o, where, next)
	}
	if h.Named && (where == nil || m.hidesTemporary(o)) && o.InCatalog() == statement.Relation {
		// It may be any of them. None is told as what it is, each can deny.
		like := m.view.Like(o.Name)
		for _, i := range like[:min(len(like), maxLike)] {
			l.judge(o, m.view.Hit(i))
		}
	}
}

// furtherRoutines looks at those of the name in other schemas: it may be one of them.
func (l *lookup) furtherRoutines(o *statement.Object, where *catalog.Scope, next int) {
	for {
		var h catalog.Hit
		if h, next = l.m.view.Next(o, where, next); !h.Found {
			return
		}
		l.sure = false
		l.hit(o, h)
	}
}

// hidesTemporary tells whether a temporary relation may stand before others of the
// name. Functions are not looked for among what is temporary (namespace.c,
// FuncnameGetCandidates).
func (m *Machine) hidesTemporary(o *statement.Object) bool {
	return (m.hidden || m.known.veiled) && o.InCatalog() == statement.Relation
}

// hit judges and lists what a name stands for, and what stands behind that.
func (l *lookup) hit(o *statement.Object, h catalog.Hit) {
	self := l.m.view.Self(h, o.Use)
	if h.Named {
		l.decide(o, &self)
	}
	if h.Named || self.Facts != "" {
		l.list(self)
	}
	l.judge(o, h)
	steps := l.m.view.Behind(h)
	for i := range steps {
		if l.room == 0 {
			l.over += l.m.view.Rest(h, i, o.Use)
			break
		}
		if r, counts := l.step(o, h, i); counts {
			l.list(r)
		}
	}
}

// step is one step behind a name. By a new name nobody knows what is behind it before
// the catalog is read again: who gives one has to be let at what who reads it is.
func (l *lookup) step(o *statement.Object, h catalog.Hit, i int) (statement.Resolved, bool) {
	r, counts := l.m.view.Step(h, i, o.Use)
	if !counts && l.moves && o.Use == statement.UseAlter {
		return l.m.view.Step(h, i, statement.UseRead)
	}
	return r, counts
}

// renames tells whether a statement may give what it alters another name or schema.
func renames(st *statement.Statement) bool {
	return strings.HasPrefix(st.Command, "ALTER ") || st.Tags&statement.TagProcedural != 0
}

// maxMoved bounds how many relations are looked at that go with their schema.
const maxMoved = 4096

// schema looks at what gets another name with its schema. It is not listed.
func (l *lookup) schema(st *statement.Statement, o *statement.Object) {
	m := l.m
	if m.view == nil || o.Use != statement.UseAlter || !l.moves || len(m.ruling.DeniedObjects) == 0 {
		return
	}
	if strings.HasPrefix(st.Command, "ALTER ") && st.Command != "ALTER SCHEMA" {
		return // ALTER DEFAULT PRIVILEGES
	}
	left := maxMoved
	for i := range m.view.Within(o.Name) {
		if left--; left < 0 && l.d.Allowed {
			l.d = auth.Decision{What: st.Command + " on " + o.Name, Missing: "a schema of so many relations that something stands behind"}
		}
		if !l.d.Allowed {
			return
		}
		l.judge(o, m.view.Hit(i))
	}
}

func (l *lookup) list(r statement.Resolved) {
	k := &l.m.known
	if l.room == 0 {
		l.over++
		return
	}
	l.room--
	k.found = append(k.found, r)
}

func (l *lookup) decide(o *statement.Object, r *statement.Resolved) (denied bool) {
	d := l.m.ruling.DecideResolved(l.st, o, r)
	if !d.Allowed && l.d.Allowed {
		l.d = d
	}
	return !d.Allowed
}

// judge puts what stands behind a relation to the grant.
func (l *lookup) judge(o *statement.Object, h catalog.Hit) {
	m, k := l.m, &l.m.known
	steps := m.view.Behind(h)
	if steps == 0 || !l.d.Allowed || len(m.ruling.DeniedObjects) == 0 {
		return
	}
	if steps > shortSteps {
		if of := (keptFor{m.view.Number(), m.ruling}); k.keptFor != of || len(k.kept) >= maxKept {
			k.keptFor, k.kept = of, make(map[int32]bool)
		}
		if denied, judged := k.kept[h.Index()]; judged && !denied {
			return
		}
	}
	all := true
	for i := range steps {
		r, counts := l.step(o, h, i)
		all = all && counts
		if counts && l.decide(o, &r) {
			all = false
			break
		}
	}
	if steps > shortSteps && all {
		k.kept[h.Index()] = false
	}
}

// touch tells the catalog of a statement that is about to be sent and may change it,
// and follows what it may do to search_path.
func (m *Machine) touch(st *statement.Statement, v *verdict) {
	d := m.catalog.Load()
	if d == nil {
		return
	}
	e := st.Effect.Kind
	switch {
	case e == statement.EffectTemporary:
	case v.class&(statement.DDL|statement.Role|statement.Unknown) != 0, st.Command == "DO", e == statement.EffectTwoPhase:
		m.known.altered = true
		d.Changed()
	case m.known.altered && e == statement.EffectCommit:
		d.Changed()
	}
}

// settleCatalog has the catalog read where a transaction has ended that may have
// changed it.
func (m *Machine) settleCatalog() {
	if !m.known.altered {
		return
	}
	m.known.altered = false
	if d := m.catalog.Load(); d != nil {
		d.Settled()
	}
}

// move follows what a statement that is about to run may do to names without a
// schema.
func (m *Machine) move(st *statement.Statement, v *verdict) {
	if st.Effect.Kind == statement.EffectDeallocateAll && !strings.HasPrefix(st.Command, "DEALLOCATE") {
		m.statements.haunts++ // within a body
	}
	hidden := v.class&(statement.Function|statement.Unknown) != 0 || v.tags&statement.TagProcedural != 0
	m.known.veiled = m.known.veiled || hidden || v.veils
	// Who the session is says what "$user" is; search_path stays the same.
	kind := st.Effect.Kind
	moved := hidden || v.path && kind != statement.EffectRole && kind != statement.EffectAuthorization
	if m.known.search.moves > 0 {
		// What was set goes with the transaction, or the savepoint.
		switch st.Effect.Kind {
		case statement.EffectCommit, statement.EffectRollback, statement.EffectSavepoint, statement.EffectTwoPhase:
			moved = true
		default:
			moved = moved || resets(st)
		}
	}
	if moved {
		m.known.search.moves++
		m.known.search.known = false
	}
}

// arrive takes what the backend reports for the session's search_path, where nothing
// that was sent is still to change it.
func (m *Machine) arrive() {
	if s := &m.known.search; s.reports && m.resting() {
		if s.value != s.reported {
			s.moves++
		}
		s.value, s.known = s.reported, true
	}
}

// begin takes what a session begins with: what the backend reports, or what the
// start-up parameters say.
func (s *search) begin(path auth.Path, given string) {
	switch {
	case s.reports:
		s.value, s.known = s.reported, true
	case given != "":
		s.value, s.known = given, true
	case path != auth.PathDefault:
		s.moves++ // by another way than the role's own
	}
}

// listed are the objects of a verdict.
func (m *Machine) listed(v *verdict) []statement.Resolved {
	return slices.Clip(m.known.found[v.first:v.last])
}

// resolvedWith takes what else the names of the same message are.
func (v *verdict) resolvedWith(o *verdict) {
	v.first, v.leftOut = o.first, v.leftOut+o.leftOut
	if v.resolution == statement.ResolutionNone || o.resolution == statement.ResolutionSyntactic {
		v.resolution = o.resolution
	}
}
