package relay

import (
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// onError follows an ErrorResponse. It returns the refusal that the error stands
// for, or nil.
func (m *Machine) onError(now int64, f pgwire.Fields) *refusal {
	m.flushHeld()
	m.fatal = m.fatal || f.Fatal()
	e := m.front(pgwire.ErrorResponse)
	if e == nil {
		return nil // of the session itself: the server shuts down, a limit was reached
	}
	if e.refusal != nil && e.refusal.answers(f) {
		ref := e.refusal
		m.fail(now, e, result{}, f)
		return ref
	}
	m.fail(now, e, result{kind: audit.Failed, code: view(f.Code), message: view(f.Message)}, f)
	return nil
}

// fail settles the message at the front as failed, and what the server skips
// with it. A result without a kind is of what was refused.
func (m *Machine) fail(now int64, e *entry, res result, f pgwire.Fields) {
	m.settleCopy(e, true)
	m.clock(now, e)
	res.tally, res.took, res.rows, res.copied = m.tally, time.Duration(m.tally.took), -1, m.copyDigest()
	m.tally = tally{started: now}
	alone := true
	if e.unknown {
		alone = len(m.tags) == 0
		res.tag = view(m.tags)
		defer func() { m.tags, m.unknownRows = m.tags[:0], 0 }()
	}
	m.tx.pass()
	m.tx.failed, m.tx.used = true, true
	e.failed = true
	b := e.portal()
	switch {
	case e.runs > 0:
		e.runs--
		r := m.runs.pop()
		res.message = m.discreetly(r.st, e.kind, &res)
		if !r.parse { // nothing ran
			m.tx.torn = m.tx.torn || !m.tx.explicit && !r.batch && alone && tears(r.st, f)
			m.undo(&res)
		}
		m.settle(&r, res)
		m.abandon(b)
		b.forgo(r.seq)
	case b == nil || !b.suspended:
	case res.kind == "" || left(f):
		m.abandon(b)
		b.finish()
	default:
		res.tally.add(b.tally)
		res.message = m.discreetly(b.def, e.kind, &res)
		m.undo(&res)
		m.write(b.ran, res)
		b.finish()
	}
	m.failure.note(res)
	switch e.kind {
	case kindQuery, kindFunctionCall, kindSync:
		// Its ReadyForQuery ends it.
	default:
		m.discardDefinition(e)
		m.popFront()
		m.skipToSync()
	}
}

// undo tells the fate of what failed: outside a block it is known at once.
func (m *Machine) undo(res *result) {
	if m.tx.explicit {
		m.tx.undecided++
		return
	}
	res.fate = m.tx.tell(audit.RolledBack)
}

// tears tells whether a statement that failed in no block may have been committed in part.
func tears(st *statement.Statement, f pgwire.Fields) bool {
	if st.Effect.Kind == statement.EffectCommits || !st.CommitsWithin() {
		return st.CommitsWithin()
	}
	if st.Class&statement.Unknown == 0 || f.Within {
		return f.Within
	}
	switch view(f.Code) {
	case "42601", "22021": // the text was not read at all: its syntax, or its bytes
		return false
	default:
		return true
	}
}

// left tells whether the error of an Execute is not the statement's that its portal had
// begun: the server has the portal no more, or takes nothing in a failed transaction.
func left(f pgwire.Fields) bool {
	return !f.Within && (view(f.Code) == "34000" || view(f.Code) == "25P02")
}

// skipToSync settles what the server passes over behind an error in the extended
// protocol, up to the next Sync, whether that has been sent yet or not.
func (m *Machine) skipToSync() {
	for m.queue.len() > 0 && m.queue.front().kind != kindSync {
		m.skip(m.queue.front())
		m.popFront()
	}
	m.skipping = m.queue.len() == 0
}

// failure keeps the error that the statements behind it are skipped for.
type failure struct {
	code    [5]byte
	n       int
	message string
}

func (f *failure) note(res result) {
	f.n = copy(f.code[:], res.code)
	f.message = "an error before it"
}

// skip settles what the server passed over in a message: all of it behind an
// error, or the statements of a Query behind the one that failed.
func (m *Machine) skip(e *entry) {
	if e.unknown && e.settled && !e.failed && e.runs > 0 {
		m.completeUnknown(e)
	}
	for ; e.runs > 0; e.runs-- {
		r := m.runs.pop()
		e.portal().forgo(r.seq)
		m.settle(&r, result{kind: audit.Skipped, rows: -1, code: view(m.failure.code[:m.failure.n]), message: m.failure.message})
	}
	m.discardDefinition(e)
}

// completeUnknown tells the outcome of a text that could not be read, once the
// server is done with all of it.
func (m *Machine) completeUnknown(e *entry) {
	e.runs--
	r := m.runs.pop()
	h := &m.hand().held
	h.set, h.seq = true, r.seq
	h.res = result{kind: audit.Completed, rows: m.unknownRows, tally: m.tally, took: time.Duration(m.tally.took)}
	h.keep(m.tags, m.copyDigest())
	m.tags, m.unknownRows = m.tags[:0], 0
}

// discardDefinition forgets a name that a message would have made.
func (m *Machine) discardDefinition(e *entry) {
	switch {
	case e.slot == nil || e.id == 0:
	case e.kind == kindParse:
		m.statements.drop(e.slot, e.id)
	case e.kind == kindBind:
		m.portals.drop(e.slot, e.id)
	}
}

// Finish settles what is outstanding when the connections are gone: nobody can
// tell what came of it.
func (m *Machine) Finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushHeld()
	m.capture.close()
	outstanding := m.mayCommit()
	for m.queue.len() > 0 {
		e := m.queue.front()
		for ; e.runs > 0; e.runs-- {
			r := m.runs.pop()
			if r.parse {
				m.opt.Recorder.Release(1)
				continue
			}
			m.settle(&r, result{kind: audit.Lost, rows: -1})
		}
		m.popFront()
	}
	m.portals.forgetAll(m.leave)
	m.lost(outstanding)
	m.settleCatalog()
}
