package relay

import (
	"bytes"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// The transaction status of ReadyForQuery.
const (
	txIdle   = 'I'
	txBlock  = 'T'
	txFailed = 'E'
)

// transaction follows the backend's: a block that BEGIN opened, or the implicit
// one around a Query or up to a Sync.
type transaction struct {
	number   uint64 // 0 before the first
	status   byte   // of the last ReadyForQuery
	explicit bool
	failed   bool
	used     bool // a statement ran in it
	// undecided counts the outcomes that were written without the fate, and since
	// the last one that told it.
	undecided int
}

// ended returns the fate that a completed statement sealed, "" where the
// transaction goes on. COMMIT of a failed transaction answers ROLLBACK.
func (t *transaction) ended(st *statement.Statement, tag []byte) audit.Fate {
	switch st.Effect.Kind {
	case statement.EffectCommit, statement.EffectRollback:
		if bytes.Equal(tag, []byte("COMMIT")) {
			return audit.Committed
		}
		return audit.RolledBack
	case statement.EffectTwoPhase:
		if bytes.Equal(tag, []byte("PREPARE TRANSACTION")) {
			return audit.FatePrepared
		}
	default:
	}
	return ""
}

// next begins the next transaction.
func (t *transaction) next() {
	t.number++
	t.explicit, t.failed, t.used, t.undecided = false, false, false, 0
}

// readyForQuery follows the status that the backend reports. Where an implicit
// transaction ends, the last outcome tells its fate; where there is none at
// hand, an event does.
func (m *Machine) readyForQuery(status byte) {
	t := &m.tx
	t.status = status
	if status != txIdle {
		m.resync()
		t.explicit = true
		m.flushHeld()
		return
	}
	m.settleCatalog()
	m.identity.end(!t.failed)
	m.resync()
	m.portals.forgetAll(m.endOfTransaction)
	fate := audit.Committed
	if t.failed {
		fate = audit.RolledBack
	}
	switch h := &m.hand().held; {
	case h.set:
		h.res.fate = fate
		m.flushHeld()
	case t.undecided > 0:
		m.recordFate(fate)
	}
	if t.used {
		t.next()
	}
	t.explicit = false
}

// endOfTransaction ends a portal, but for a cursor WITH HOLD.
func (m *Machine) endOfTransaction(b *binding) bool {
	if b.hold {
		return false
	}
	return m.leave(b)
}

// recordFate writes an event for a fate that no outcome could tell.
func (m *Machine) recordFate(fate audit.Fate) {
	ev := &m.hand().event
	*ev = audit.Event{Type: audit.Transaction, Prepared: m.opt.Prepared, Budget: m.opt.Budget, Tx: m.tx.number, Fate: fate, Rows: -1}
	if _, err := m.opt.Recorder.Record(ev); err != nil && m.broken == nil {
		m.broken = err
	}
}

// mayCommit tells whether something is outstanding that may end a transaction. A
// message that was not sent whole does nothing.
func (m *Machine) mayCommit() bool {
	n := m.queue.len()
	if m.client.left > 0 && !m.client.copies && !m.client.drop {
		n--
	}
	for i := range n {
		if k := m.queue.at(i).kind; k.executes() || k == kindSync {
			return true
		}
	}
	return false
}

// lost tells the fate of a transaction whose connection went away: the server
// rolls it back, unless its end was outstanding.
func (m *Machine) lost(outstanding bool) {
	switch {
	case m.tx.undecided == 0:
	case outstanding:
		m.recordFate(audit.FateLost)
	default:
		m.recordFate(audit.RolledBack)
	}
}
