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
	// torn is set where some of what has its number may have been committed before its end,
	// undone where some may have been rolled back.
	torn, undone bool
	// last is what the statement before may have made of it, where that could not be read:
	// whether it was the end, what follows tells.
	last audit.Fate
	// undecided counts the outcomes that were written without the fate, and since
	// the last one that told it.
	undecided int
}

// ended returns the fate that a completed statement sealed, "" where the
// transaction goes on. COMMIT of a failed transaction answers ROLLBACK.
func (t *transaction) ended(st *statement.Statement, tag []byte) audit.Fate {
	t.pass()
	switch st.Effect.Kind {
	case statement.EffectCommit, statement.EffectRollback:
		if bytes.Equal(tag, []byte("COMMIT")) {
			return audit.Committed
		}
		return audit.RolledBack
	case statement.EffectBegin, statement.EffectSavepoint:
		return ""
	default:
	}
	switch view(tag) {
	case "PREPARE TRANSACTION":
		return audit.FatePrepared
	case "COMMIT PREPARED", "ROLLBACK PREPARED", "VACUUM", "ALTER SYSTEM", "DISCARD ALL",
		"CREATE DATABASE", "DROP DATABASE", "CREATE TABLESPACE", "DROP TABLESPACE":
		// They are a transaction each, also before others up to the same Sync
		// (PreventInTransactionBlock, XACT_FLAGS_NEEDIMMEDIATECOMMIT).
		return audit.Committed
	}
	t.unread(tag)
	return ""
}

// unread follows what a statement did to the transaction that nobody could read, by its
// tag. A new transaction may have begun at once, and ROLLBACK may lead to a savepoint.
func (t *transaction) unread(tag []byte) {
	t.pass()
	switch view(tag) {
	case "BEGIN", "START TRANSACTION":
	case "COMMIT":
		t.last = audit.Committed
	case "ROLLBACK":
		t.last = audit.RolledBack
	case "PREPARE TRANSACTION":
		t.last = audit.FatePrepared
	default:
		return
	}
	t.explicit = true
}

// pass notes that the statement before was not the last one.
func (t *transaction) pass() {
	t.torn = t.torn || t.last == audit.Committed || t.last == audit.FatePrepared
	t.undone = t.undone || t.last == audit.RolledBack
	t.last = ""
}

// tell returns the fate of all that has the transaction's number, of which that is how it
// ended.
func (t *transaction) tell(fate audit.Fate) audit.Fate {
	if fate == audit.Committed && t.undone || fate == audit.RolledBack && t.torn {
		return audit.FateLost
	}
	return fate
}

// next begins the next transaction.
func (t *transaction) next() {
	*t = transaction{number: t.number + 1, status: t.status}
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
		t.pass()
		m.flushHeld()
		return
	}
	m.settleCatalog()
	fate := audit.Committed
	switch {
	case t.last != "":
		fate = t.last
	case t.failed:
		fate = audit.RolledBack
	}
	if fate == audit.RolledBack && t.torn {
		m.identity.doubt()
	}
	m.identity.end(fate != audit.RolledBack)
	m.resync()
	m.portals.forgetAll(m.endOfTransaction)
	fate = t.tell(fate)
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
		m.recordFate(m.tx.tell(audit.RolledBack))
	}
}
