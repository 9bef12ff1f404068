package relay

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// tally is what a statement has given so far.
type tally struct {
	started int64 // ns, when it came to the front; 0 before
	rows    int64
	bytes   int64
	took    int64 // ns, of earlier parts of a portal
}

// result is what came of a statement.
type result struct {
	kind    audit.Result
	fate    audit.Fate
	tag     string
	code    string
	message string
	rows    int64
	tally   tally
	took    time.Duration
	copied  []byte // digest of the data of a COPY; nil for none
}

// maxTag is more than any command tag of PostgreSQL with its row count
// (COMPLETION_TAG_BUFSIZE in cmdtag.h).
const maxTag = 64

// held is an outcome that waits for the next message: where that is the
// ReadyForQuery that ends the transaction, the outcome tells its fate too. It
// never waits beyond the bytes at hand.
type held struct {
	set bool
	seq uint64
	res result
	tag [maxTag]byte
	n   int
	sum [sha256.Size]byte // what res.copied is a view of
}

// keep makes the outcome's data its own: the machine's change before it is written.
func (h *held) keep(tag, sum []byte) {
	h.n = copy(h.tag[:], tag)
	if h.res.copied = nil; sum != nil {
		h.res.copied = append(h.sum[:0], sum...)
	}
}

// onComplete follows the end of a statement: CommandComplete, EmptyQueryResponse
// or FunctionCallResponse.
func (m *Machine) onComplete(now int64, tag []byte) {
	m.flushHeld()
	e := m.front(pgwire.CommandComplete)
	if e == nil || !e.kind.executes() {
		return
	}
	m.settleCopy(e, false)
	e.settled = true
	if e.unknown {
		m.tally.took = 0 // over the whole text
	}
	m.clock(now, e)
	switch {
	case e.unknown:
		m.tx.used = true
		m.tx.unread(tag)
		m.countRows(tagRows(tag))
		m.tags = appendTag(m.tags, tag)
		return
	case e.kind == kindExecute:
		m.completeExecute(tag)
	default:
		if e.runs > 0 {
			e.runs--
			m.complete(m.runs.pop(), tag, m.tally)
		}
	}
	m.tally = tally{started: now}
}

// clock settles when the statement at the front began: when it was sent, or when
// the one before it ended.
func (m *Machine) clock(now int64, e *entry) {
	m.tally.took += now - max(m.tally.started, e.sent)
	m.activity.since.Store(now)
}

// completeExecute ends a portal's statement, together with what earlier Executes
// of the portal gave. A portal that was at its end already answers once more,
// without rows, and has had its outcome.
func (m *Machine) completeExecute(tag []byte) {
	done := m.popFront()
	t, b := m.tally, done.portal()
	switch {
	case done.runs > 0:
		m.abandon(b)
		m.complete(m.runs.pop(), tag, t)
	case b != nil && b.suspended:
		t.add(b.tally)
		m.complete(run{seq: b.ran, st: &emptyText, parts: true}, tag, t)
	}
	b.finish()
}

// finish forgets which statement a portal ran: that has its outcome, and an
// Execute that comes later is a statement of its own.
func (b *binding) finish() {
	if b != nil {
		b.seq, b.ran, b.suspended, b.tally = 0, 0, false, tally{}
	}
}

// runs tells whether a portal is at work for certain when an Execute that is sent in that
// segment comes to it: the server has suspended it, or the Execute before stands in the
// same segment, so that what keeps that from running keeps this one.
func (b *binding) runs(segment uint32) bool { return b.suspended || b.seq != 0 && b.sent == segment }

// forgo forgets that an Execute of the portal was sent that ran nothing: the server
// skipped it, or refused it in a transaction that had failed. The portal can outlive that.
func (b *binding) forgo(seq uint64) {
	if b != nil && b.seq == seq {
		b.seq = 0
	}
}

// portal returns the portal that an Execute ran, as the server has it when it
// answers; nil for one that nobody saw being made.
func (e *entry) portal() *binding {
	if e.kind != kindExecute || e.slot == nil || e.slot.now.def == nil {
		return nil
	}
	return &e.slot.now
}

func (t *tally) add(o tally) {
	t.rows += o.rows
	t.bytes += o.bytes
	t.took += o.took
}

// onSuspended keeps what a portal gave until it is resumed or left.
func (m *Machine) onSuspended(now int64) {
	m.flushHeld()
	e := m.front(pgwire.PortalSuspended)
	if e == nil || e.kind != kindExecute {
		return
	}
	m.clock(now, e)
	m.tx.used = true
	done := m.popFront()
	b := done.portal()
	switch {
	case done.runs > 0:
		r := m.runs.pop()
		m.identify(r.st, "") // what it set with its rows is set
		if b == nil {
			m.abandon(&binding{suspended: true, ran: r.seq, tally: m.tally})
			break
		}
		m.abandon(b)
		b.suspended, b.ran, b.tally = true, r.seq, m.tally
	case b != nil && b.suspended:
		b.tally.add(m.tally)
	}
	m.tally = tally{started: now}
}

// abandon tells the outcome of a portal that is left before its end. What it did
// counts with its transaction.
func (m *Machine) abandon(b *binding) {
	if b == nil || !b.suspended {
		return
	}
	b.suspended = false
	m.write(b.ran, result{kind: audit.Suspended, rows: b.tally.rows, tally: b.tally, took: time.Duration(b.tally.took)})
	m.tx.undecided++
}

// complete holds the outcome of a statement that was completed.
func (m *Machine) complete(r run, tag []byte, t tally) {
	m.tx.used = true
	m.effect(&r)
	h := &m.hand().held
	h.set, h.seq = true, r.seq
	h.res = result{kind: audit.Completed, rows: tagRows(tag), tally: t, took: time.Duration(t.took)}
	h.keep(tag, m.copyDigest())
	if t.rows > 0 && (h.res.rows < 0 || r.parts) {
		h.res.rows = max(h.res.rows, t.rows) // the tag of a SELECT counts the last part
	}
	m.emptied(r.st, tag)
	fate := m.tx.ended(r.st, tag)
	m.identify(r.st, fate)
	switch e := &r.st.Effect; {
	case fate != "":
		m.portals.forgetAll(m.endOfTransaction)
		h.res.fate = m.tx.tell(fate)
		m.flushHeld()
		m.tx.next()
		m.tx.explicit = e.Hold && (e.Kind == statement.EffectCommit || e.Kind == statement.EffectRollback) // AND CHAIN
	case r.st.CommitsWithin() && !r.batch && !m.tx.explicit:
		// Nobody who is unread and counts rows is one of those.
		m.tx.torn = m.tx.torn || r.st.Class&statement.Unknown == 0 || h.res.rows < 0
	}
}

// flushHeld writes the outcome that was held.
func (m *Machine) flushHeld() {
	h := &m.hand().held
	if !h.set {
		return
	}
	h.set = false
	h.res.tag = view(h.tag[:h.n])
	m.write(h.seq, h.res)
	if h.res.fate == "" {
		m.tx.undecided++
	}
}

// settle tells the outcome of a run that was not completed.
func (m *Machine) settle(r *run, res result) {
	if r.slot != nil {
		m.undefine(r.st, r.slot, r.id)
	}
	m.write(r.seq, res)
}

// write records an outcome.
func (m *Machine) write(seq uint64, res result) {
	if seq == 0 {
		return
	}
	ev := &m.hand().event
	*ev = audit.Event{
		Type: audit.Outcome, Prepared: m.opt.Prepared, Budget: m.opt.Budget, Statement: seq, Result: res.kind, Fate: res.fate,
		Command: res.tag, SQLSTATE: res.code, Message: res.message,
		Rows: res.rows, Bytes: res.tally.bytes, Duration: res.took, Tx: m.tx.number, CopyDigest: res.copied,
	}
	if _, err := m.opt.Recorder.Record(ev); err != nil && m.broken == nil {
		m.broken = err
	}
	if res.fate != "" {
		m.tx.undecided = 0
	}
	if m.opt.OnOutcome != nil {
		m.opt.OnOutcome(res.kind, res.took)
	}
}

// effect carries out what a completed statement did to the session's names.
func (m *Machine) effect(r *run) {
	switch r.st.Effect.Kind {
	case statement.EffectPrepare:
		m.statements.confirm(r.slot, r.id)
	case statement.EffectDeclare:
		displaced := m.portals.confirm(r.slot, r.id)
		m.abandon(&displaced)
	case statement.EffectDeallocate:
		m.forget(&m.statements, r.st.Effect.Name)
	case statement.EffectCloseCursor:
		m.forget(&m.portals, r.st.Effect.Name)
	case statement.EffectDeallocateAll:
		m.statements.forgetAll(always)
	case statement.EffectCloseAll:
		m.portals.forgetAll(m.leave)
	case statement.EffectDiscardAll:
		m.statements.forgetAll(always)
		m.portals.forgetAll(m.leave)
	case statement.EffectBegin:
		m.tx.explicit = true
	default:
	}
}

func always(*binding) bool { return true }

// leave ends a portal.
func (m *Machine) leave(b *binding) bool {
	m.abandon(b)
	return true
}

func (m *Machine) forget(t *table, name string) {
	if s := t.find([]byte(name)); s != nil {
		was := t.forget(s)
		m.abandon(&was)
	}
}

// countRows counts the rows of a text that could not be read, -1 where no tag has any.
func (m *Machine) countRows(n int64) {
	switch {
	case len(m.tags) == 0 || m.unknownRows < 0:
		m.unknownRows = n
	case n > 0:
		m.unknownRows += n
	}
}

// tagRows returns the row count at the end of a command tag, -1 where it has
// none.
func tagRows(tag []byte) int64 {
	i := bytes.LastIndexByte(tag, ' ')
	if i < 0 {
		return -1
	}
	n, err := strconv.ParseInt(view(tag[i+1:]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// appendTag lists the command tags of a text that could not be read.
func appendTag(list, tag []byte) []byte {
	const most = 1 << 10
	if len(list)+len(tag) > most {
		return list
	}
	if len(list) > 0 {
		list = append(list, ", "...)
	}
	return append(list, tag...)
}
