package relay

import (
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// emptying is how far a statement has come that empties search_path, as pg_dump and its
// like do first, and whether that goes with the transaction.
type emptying struct {
	sent, done bool
	inBlock    bool
}

// empty notes that a Query of one statement is about to run and may empty search_path, with
// nothing before it that could still change the path or the transaction.
func (m *Machine) empty(statements []statement.Statement, rested bool) {
	if rested && len(statements) == 1 && statements[0].Effect.Kind == statement.EffectNoPath && m.tx.status != txFailed {
		m.emptying = emptying{sent: true}
	}
}

// emptied takes the tag of what was sent: one row, or SET.
func (m *Machine) emptied(st *statement.Statement, tag []byte) {
	if m.emptying.sent && st.Effect.Kind == statement.EffectNoPath && (string(tag) == "SELECT 1" || string(tag) == "SET") {
		m.emptying.done = true
	}
}

// settlePath takes search_path for empty where the server has made it so, and nothing that
// may have changed it was sent since.
func (m *Machine) settlePath() {
	if !m.emptying.sent || !m.resting() {
		return
	}
	done := m.emptying.done
	m.emptying = emptying{}
	if done {
		// What the client sent before may have begun a block that only this ReadyForQuery
		// tells of.
		m.path, m.emptying.inBlock = auth.PathEmpty, m.tx.status != txIdle
		if s := &m.known.search; !s.reports {
			s.value, s.known = "", true
		}
	}
}

// refills tells whether a statement may give search_path back what it was before it was
// emptied.
func (m *Machine) refills(st *statement.Statement) bool {
	if m.path != auth.PathEmpty && !m.emptying.sent {
		return false
	}
	switch st.Effect.Kind {
	case statement.EffectCommit, statement.EffectRollback, statement.EffectSavepoint, statement.EffectTwoPhase:
		return m.emptying.inBlock || m.emptying.sent
	default:
		return resets(st)
	}
}

// resets tells whether a statement gives all settings the values that the session began with.
func resets(st *statement.Statement) bool {
	return st.Effect.Kind == statement.EffectDiscardAll || st.Command == "RESET" && len(st.Objects) == 0 // ALL
}
