package relay

import (
	"errors"
	"math"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// ErrBackendFraming says that the backend's stream cannot be followed.
var ErrBackendFraming = errors.New("the backend sent a message of impossible length")

// peekSize is how much of a message the machine looks into at most. What it
// needs of larger ones stands at their start.
const peekSize = 4 << 10

// Backend takes bytes that the backend sent, adds to out what goes to the client,
// and returns how many of them it is done with; the rest is to be given again,
// with more behind it. Before it returns, what the bytes tell of is on record.
//
// The error is the recorder's, about something that ran, or ErrBackendFraming:
// the session has to end.
func (m *Machine) Backend(now int64, in []byte, out *Output) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pos, run := 0, 0
	for pos < len(in) {
		if m.backend.left > 0 {
			k := min(m.backend.left, len(in)-pos)
			if m.backend.copies {
				m.given.write(in[pos : pos+k])
			}
			m.backend.left -= k
			pos += k
			continue
		}
		typ, size, ok := pgwire.Header(in[pos:])
		if !ok {
			break
		}
		if size < pgwire.MinSize {
			return pos, ErrBackendFraming
		}
		if len(in)-pos < m.looksInto(typ, size) {
			break
		}
		have := min(size, len(in)-pos)
		if e := m.response(now, typ, in[pos+pgwire.HeaderSize:pos+have], size); e != nil {
			out.forward(in[run:pos])
			out.insert(m.rewrite(e))
			run = pos + have
		}
		m.backend.left, m.backend.copies = size-have, typ == pgwire.CopyData
		pos += have
	}
	m.flushHeld()
	m.paused(now)
	if m.parting {
		m.quiesce()
	}
	if m.resting() {
		m.letGo()
	}
	out.forward(in[run:pos])
	m.totals.ToClient += uint64(pos)
	return pos, m.broken
}

// looksInto returns how much of a backend's message must have come before it is
// handled.
func (m *Machine) looksInto(typ byte, size int) int {
	switch typ {
	case pgwire.ParameterDescription:
		if records(m.recording().Parameters) {
			return min(size, pgwire.HeaderSize+2+4*math.MaxUint16)
		}
		return pgwire.HeaderSize
	case pgwire.CommandComplete, pgwire.ReadyForQuery, pgwire.ErrorResponse, pgwire.ParameterStatus:
		return min(size, peekSize)
	default:
		return pgwire.HeaderSize
	}
}

// rewrite makes the ErrorResponse that the client gets for a refused statement.
func (m *Machine) rewrite(r *refusal) []byte {
	told := r.err
	if r.quiet {
		told.Incident = ""
	}
	m.rewritten = told.Append(m.rewritten[:0])
	return m.rewritten
}

// response follows one message of the backend. It returns a refusal where the
// message is the error that stands for it.
func (m *Machine) response(now int64, typ byte, body []byte, size int) *refusal {
	switch typ {
	case pgwire.DataRow:
		m.tally.rows++
		m.tally.bytes += int64(size - pgwire.HeaderSize)
	case pgwire.CopyData:
		m.tally.bytes += int64(size - pgwire.HeaderSize)
		m.given.write(body)
	case pgwire.ParseComplete:
		m.onParseComplete()
	case pgwire.BindComplete:
		m.onBindComplete()
	case pgwire.CloseComplete:
		m.onCloseComplete()
	case pgwire.RowDescription, pgwire.NoData:
		if e := m.front(typ); e != nil && e.kind == kindDescribe {
			m.popFront()
		}
	case pgwire.CommandComplete:
		tag, _, _ := pgwire.CString(body)
		m.onComplete(now, tag)
	case pgwire.EmptyQueryResponse:
		m.onComplete(now, nil)
	case pgwire.PortalSuspended:
		m.onSuspended(now)
	case pgwire.FunctionCallResponse:
		m.onComplete(now, nil)
	case pgwire.ParameterDescription:
		m.onParameterDescription(body)
	case pgwire.CopyInResponse:
		m.onCopyIn()
	case pgwire.CopyOutResponse:
		m.given.begin(m.recording().Copy, m.opt.Recorder)
	case pgwire.ErrorResponse:
		return m.onError(now, pgwire.ReadFields(body))
	case pgwire.ReadyForQuery:
		if len(body) > 0 {
			m.onReady(now, body[0])
		}
	case pgwire.ParameterStatus:
		m.onParameterStatus(body)
	}
	return nil
}

// front returns the message that a response of that type belongs to; nil where
// nothing is outstanding.
func (m *Machine) front(typ byte) *entry {
	for {
		e := m.queue.front()
		switch {
		case e == nil:
			return nil
		case e.kind == kindSync && m.loose && !m.mayAnswerSync(typ):
			// It was swallowed by a COPY that failed after it.
			m.popFront()
		default:
			return e
		}
	}
}

// mayAnswerSync tells, where it is uncertain whether the Sync at the front is
// answered at all, whether this response could be its answer.
func (m *Machine) mayAnswerSync(typ byte) bool {
	return typ == pgwire.ReadyForQuery || typ == pgwire.ErrorResponse && m.queue.len() == 1
}

// popFront takes the front message out.
func (m *Machine) popFront() entry {
	e := m.queue.pop()
	if e.kind.executes() {
		m.executing--
	}
	for next := m.queue.front(); next != nil && next.kind == kindCopyEnd; next = m.queue.front() {
		m.queue.pop() // the backend was not reading COPY data, or was done with it
	}
	if m.queue.len() == 0 {
		m.loose, m.uncertain = false, false
	}
	return e
}

func (m *Machine) onParseComplete() {
	e := m.front(pgwire.ParseComplete)
	if e == nil || e.kind != kindParse {
		return
	}
	done := m.popFront()
	if done.runs > 0 {
		m.runs.pop()
		m.opt.Recorder.Release(1) // nothing ran: there is no outcome to tell
	}
	if done.slot != nil {
		m.statements.confirm(done.slot, done.id)
	}
}

func (m *Machine) onBindComplete() {
	e := m.front(pgwire.BindComplete)
	if e == nil || e.kind != kindBind {
		return
	}
	done := m.popFront()
	if done.slot != nil {
		displaced := m.portals.confirm(done.slot, done.id)
		m.abandon(&displaced)
	}
}

func (m *Machine) onCloseComplete() {
	e := m.front(pgwire.CloseComplete)
	if e == nil || e.kind != kindClose {
		return
	}
	done := m.popFront()
	switch {
	case done.slot == nil:
	case done.ofWire:
		was := m.portals.forget(done.slot)
		m.abandon(&was)
	default:
		m.statements.forget(done.slot)
	}
}

// resting reports whether no work is outstanding: nothing at all, or Syncs that a
// COPY may have swallowed, whose answers may never come.
func (m *Machine) resting() bool {
	for i := range m.queue.len() {
		if k := m.queue.at(i).kind; k != kindCopyEnd && (k != kindSync || !m.loose) {
			return false
		}
	}
	return true
}

func (m *Machine) onReady(now int64, status byte) {
	e := m.front(pgwire.ReadyForQuery)
	if e != nil && (e.kind == kindSync || e.answered()) {
		m.skip(e)
		m.popFront()
	}
	// Otherwise it is of a Sync that was taken for swallowed.
	m.ready(now, status)
}

func (m *Machine) ready(now int64, status byte) {
	m.skipping = false // the server answers no Sync while it skips
	m.unreported = !m.resting()
	m.recoding = m.recoding && m.unreported
	m.readyForQuery(status)
	m.settlePath()
	m.arrive()
	m.tally = tally{started: now}
	m.rested(now)
}

func (m *Machine) onParameterStatus(body []byte) {
	name, rest, ok := pgwire.CString(body)
	if !ok {
		return
	}
	value, _, ok := pgwire.CString(rest)
	if !ok {
		m.unfollow(string(name))
		return
	}
	m.follow(string(name), string(value))
	m.recoded = m.recoded || string(name) == "client_encoding"
	if m.opt.OnParameter != nil {
		if p := m.opt.OnParameter(string(name), string(value)); p != nil {
			m.opt.Prepared = p
		}
	}
}
