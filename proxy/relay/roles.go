package relay

import (
	"slices"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// identity is who the session is at the backend, where it is not the role that it
// logged in as.
type identity struct {
	user string // by SET SESSION AUTHORIZATION
	role string // by SET ROLE
	// unsure is set where something may have changed either out of sight.
	unsure bool
}

func (i identity) current() string {
	if i.role != "" {
		return i.role
	}
	return i.user
}

// identities follows who the session is through a transaction, as PostgreSQL's
// settings go (guc.c, AtEOXact_GUC): a rollback takes SET back, the end of the
// transaction SET LOCAL, and a savepoint what came after it.
type identities struct {
	now, kept, before identity // kept is what a commit leaves, before what a rollback does
	saved             []savedIdentity
	block             bool
}

type savedIdentity struct {
	name      string
	now, kept identity
}

// maxSaved bounds what a session's savepoints hold. Beyond it, who the session is
// is unsure.
const maxSaved = 64

// apply carries out what a statement does, should it succeed.
func (i *identities) apply(st *statement.Statement) {
	switch e := &st.Effect; e.Kind {
	case statement.EffectRole:
		next := i.now
		next.role, next.unsure = e.Name, next.unsure && e.Name == ""
		i.set(next, e.Hold)
	case statement.EffectAuthorization:
		i.set(identity{user: e.Name}, e.Hold)
	case statement.EffectDiscardAll:
		i.set(identity{}, true)
	case statement.EffectBegin:
		i.block = true
	case statement.EffectCommit, statement.EffectTwoPhase:
		i.end(true)
		i.block = e.Hold
	case statement.EffectRollback:
		i.end(false)
		i.block = e.Hold
	case statement.EffectSavepoint:
		i.savepoint(st.Command, e.Name)
	default:
	}
}

// doubt notes that who the session is may change out of sight, whatever becomes of
// the transaction.
func (i *identities) doubt() { i.now.unsure, i.kept.unsure, i.before.unsure = true, true, true }

func (i *identities) set(next identity, hold bool) {
	i.now = next
	if hold {
		i.kept = next
	}
}

// end ends the transaction.
func (i *identities) end(committed bool) {
	if committed {
		i.before = i.kept
	}
	i.now, i.kept = i.before, i.before
	i.saved, i.block = i.saved[:0], false
}

func (i *identities) savepoint(command, name string) {
	if command == "SAVEPOINT" {
		if len(i.saved) == maxSaved {
			i.doubt()
			return
		}
		i.saved = append(i.saved, savedIdentity{name, i.now, i.kept})
		return
	}
	at := len(i.saved) - 1
	for at >= 0 && i.saved[at].name != name {
		at--
	}
	switch {
	case at < 0:
	case command == "RELEASE":
		i.saved = i.saved[:at]
	default:
		i.now, i.kept = i.saved[at].now, i.saved[at].kept
		i.saved = i.saved[:at+1]
	}
}

// assume makes i what o is.
func (i *identities) assume(o *identities) {
	saved := append(i.saved[:0], o.saved...)
	*i = *o
	i.saved = saved
}

func (i *identities) equal(o *identities) bool {
	return i.now == o.now && i.kept == o.kept && i.before == o.before && i.block == o.block && slices.Equal(i.saved, o.saved)
}

// whoami adds to a statement's record who the session is, and what of its names
// is in doubt.
func (m *Machine) whoami(ev *audit.Event, st *statement.Statement, v *verdict) {
	ev.CurrentRole = m.expected.now.current()
	if m.expected.now.unsure || m.expected.now != m.identity.now {
		ev.Doubt |= audit.DoubtRole
	}
	if (v.astray || m.hidden) && v.resolution != statement.ResolutionResolved && unqualified(st) {
		ev.Doubt |= audit.DoubtResolution
	}
}

// unqualified tells if a statement leaves it to search_path where something is.
func unqualified(st *statement.Statement) bool {
	return slices.ContainsFunc(st.Objects, func(o statement.Object) bool {
		switch o.Kind {
		case "relation", "table", "view", "sequence", "materialized view", "index", "function", "procedure", "type":
			return o.Schema == ""
		}
		return false
	})
}

// expect follows what a statement that was sent does, before the backend says that
// it did.
func (m *Machine) expect(st *statement.Statement, v *verdict) {
	m.doubtRole(st, v)
	m.expected.apply(st)
	kind := st.Effect.Kind
	m.hidden = m.hidden || kind == statement.EffectTemporary || kind == statement.EffectExecute && st.Effect.Hold
}

// doubtRole notes that a statement may change who the session is, and does not say to whom.
func (m *Machine) doubtRole(st *statement.Statement, v *verdict) {
	switch st.Effect.Kind {
	case statement.EffectRole, statement.EffectAuthorization:
	default:
		if v.class&statement.Unknown != 0 || v.tags&statement.TagRoleChange != 0 {
			m.expected.doubt()
			m.identity.doubt()
		}
	}
}

// expectEnd follows the end of an implicit transaction that was sent.
func (m *Machine) expectEnd() {
	if !m.expected.block {
		m.expected.end(true)
	}
}

// identify follows a statement that was completed. COMMIT of a failed transaction
// is a rollback.
func (m *Machine) identify(st *statement.Statement, fate audit.Fate) {
	if st.Effect.Kind == statement.EffectCommit && fate == audit.RolledBack {
		m.identity.end(false)
		m.identity.block = st.Effect.Hold
		return
	}
	m.identity.apply(st)
	if fate != "" && !m.identity.block {
		m.identity.end(true)
	}
}

// resync makes what is expected what is, where nothing is outstanding: what was
// expected may not have come.
func (m *Machine) resync() {
	if m.executing == 0 && !m.expected.equal(&m.identity) {
		m.expected.assume(&m.identity)
	}
}
