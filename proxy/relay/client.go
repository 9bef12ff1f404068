package relay

import (
	"encoding/binary"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Next is what a step from the client's side waits for.
type Next uint8

// What Client asks of its driver, once the output is written.
const (
	More       Next = iota // more bytes: Want says how many at least
	Again                  // nothing: Options.AtOnce was reached, and others may want their turn
	JudgeText              // Text is to be judged; the answer goes to Judged
	Spool                  // the message that comes next is to be kept until it is there whole; then Spooled
	Full                   // too much is outstanding: the backend has to answer first
	Cancelling             // a cancel is on its way to the backend that must not meet what comes next, see Calm
	Terminated             // the client said goodbye
	Broken                 // the framing is lost: the backend got the header that it was lost with, and ends the session
	Adrift                 // see ErrAdrift; the session ends with it
)

// action is what becomes of one message.
type action uint8

const (
	pass    action = iota // it is forwarded
	replace               // the machine's own message goes in its place
	discard               // nothing goes in its place
	park                  // its text has to be judged first
	keep                  // it has to be spooled first
	brake                 // the queue is full
	await                 // a cancel has to arrive first
	adrift                // nobody can tell what the backend makes of it, see ErrAdrift
)

// flush has the backend say what it has to say. Nothing answers it.
var flush = pgwire.AppendMessage(nil, pgwire.Flush)

// Client takes bytes that the client sent, adds to out what may go to the
// backend, and returns how many of them it is done with. The rest is to be given
// again, with more behind it, once what next asks for has happened. now is the
// driver's clock in nanoseconds.
//
// The machine keeps no reference to in, but out does, and so does Text until the
// next call.
func (m *Machine) Client(now int64, in []byte, out *Output) (n int, next Next) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pos, run := 0, 0 // in[run:pos] is to be forwarded
	taken := 0
	next = More
	for pos < len(in) {
		if m.client.dead {
			out.forward(in[run:pos])
			return len(in), Terminated
		}
		if m.client.left > 0 {
			pos, run = m.body(in, pos, run, out)
			continue
		}
		if taken == m.opt.AtOnce && taken > 0 {
			next = Again
			break
		}
		size, act, wait, ok := m.message(now, in[pos:], out)
		if !ok {
			next = wait
			break
		}
		have := min(size, len(in)-pos)
		m.client.left, m.client.drop = size-have, act != pass
		if m.client.copies = in[pos] == pgwire.CopyData; !m.client.copies {
			taken++
		}
		m.client.binds = in[pos] == pgwire.Bind && m.capture.open
		switch act {
		case pass:
			pos += have
		case replace, discard:
			out.forward(in[run:pos])
			if act == replace {
				out.insert(m.replacement)
			}
			pos += have
			run = pos
		case park, keep, brake, await, adrift:
		}
	}
	if next == Broken {
		m.derailed = true
		pos += pgwire.HeaderSize // the backend is to see it, and says what it makes of it
	}
	out.forward(in[run:pos])
	if next == Full && m.keepsAnswers() {
		out.insert(flush)
	}
	m.totals.FromClient += uint64(pos)
	if m.client.dead && next == More {
		next = Terminated
	}
	return pos, next
}

// keepsAnswers tells whether the backend may hold answers back: those of extended
// messages that nothing is sent behind, but for what it passes over.
func (m *Machine) keepsAnswers() bool {
	if m.copyIn {
		return false
	}
	for i := m.queue.len() - 1; i >= 0; i-- {
		switch m.queue.at(i).kind {
		case kindParse, kindBind, kindDescribe, kindExecute, kindClose, kindBadFlush:
			return true
		case kindQuery, kindSync, kindFunctionCall:
			return false
		case kindCopyEnd:
		}
	}
	return false
}

// body passes over what has come of a message that began earlier.
func (m *Machine) body(in []byte, pos, run int, out *Output) (newPos, newRun int) {
	k := min(m.client.left, len(in)-pos)
	m.client.left -= k
	switch {
	case m.client.copies:
		m.sent.write(in[pos : pos+k])
	case m.client.binds:
		m.capture.write(in[pos:pos+k], m.client.left == 0, m)
	}
	if !m.client.drop {
		return pos + k, run
	}
	out.forward(in[run:pos])
	return pos + k, pos + k
}

// Want returns how many bytes, from the first that Client was not done with, it
// needs at least to go on. It is what the client claims: a driver grows its
// buffer as they come.
func (m *Machine) Want() int { return m.want }

// Text returns the text that has to be judged, a range of the bytes last given
// to Client.
func (m *Machine) Text() ([]byte, statement.Encoding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text, m.encoding
}

// Encoding is what texts are in at this moment.
func (m *Machine) Encoding() statement.Encoding {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.encoding
}

// Judged gives the machine the judgement of Text; Client is to be called next.
func (m *Machine) Judged(j *statement.Judgement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.judged, m.text = j, nil
}

// message decides on the message that b begins with. ok is false where the
// machine has to wait, for what next says.
func (m *Machine) message(now int64, b []byte, out *Output) (size int, act action, next Next, ok bool) {
	limit, known := pgwire.ClientLimit(b[0])
	if !known {
		// The backend ends the session at the type alone; nothing of the rest is
		// for it.
		m.client.dead = true
		return 1, pass, Terminated, true
	}
	typ, size, whole := pgwire.Header(b)
	if !whole {
		m.want = pgwire.HeaderSize
		return 0, pass, More, false
	}
	if size < pgwire.MinSize || size > limit {
		m.client.dead = true
		return 0, pass, Broken, false
	}
	m.ruling = m.grant.Load()
	m.openCatalog()
	act, need := m.dispatch(now, typ, b[:min(size, len(b))], size, out)
	m.closeCatalog()
	switch {
	case need > 0:
		m.want = need
		return 0, pass, More, false
	case act == park:
		return 0, pass, JudgeText, false
	case act == keep:
		return 0, pass, Spool, false
	case act == brake:
		return 0, pass, Full, false
	case act == await:
		return 0, pass, Cancelling, false
	case act == adrift:
		m.client.dead = true
		return 0, pass, Adrift, false
	}
	return size, act, More, true
}

// dispatch handles a message of which b has come so far. need is the number of
// bytes that must be there first, 0 where they are.
func (m *Machine) dispatch(now int64, typ byte, b []byte, size int, out *Output) (act action, need int) {
	if m.uncertain && works(typ) {
		return adrift, 0
	}
	if !m.room() && !m.endsCopy(typ) && typ != pgwire.CopyData {
		return brake, 0
	}
	if m.disturbed(typ) {
		return await, 0
	}
	if m.spools(typ, size) {
		return keep, 0
	}
	if need := m.needs(typ, size); need > len(b) {
		return pass, need
	}
	body := b[pgwire.HeaderSize:]
	switch typ {
	case pgwire.Query:
		act = m.onQuery(now, body, size, out)
	case pgwire.Parse:
		act = m.onParse(now, body, size, out)
	case pgwire.Bind:
		return m.onBind(now, b, size, out)
	case pgwire.Execute:
		act = m.onExecute(now, body, out)
	case pgwire.FunctionCall:
		act = m.onFunctionCall(now, body, size, out)
	case pgwire.Describe:
		m.onDescribe(now, body)
	case pgwire.Close:
		m.onClose(now, body)
	case pgwire.Sync:
		m.onSync(now)
	case pgwire.CopyData:
		m.sent.begin(m.ruling.Record.Copy, m.opt.Recorder)
		m.sent.bytes += int64(size - pgwire.HeaderSize)
		m.sent.write(body)
	case pgwire.CopyDone, pgwire.CopyFail:
		m.onCopyEnd(now)
	case pgwire.Terminate:
		m.client.dead, m.goodbye = true, true
	case pgwire.Flush:
		if size != pgwire.HeaderSize {
			act = m.onMalformedFlush(now)
		}
	}
	return act, 0
}

// Room reports whether Client may take a message: it does not say Full.
func (m *Machine) Room() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.room()
}

func (m *Machine) room() bool { return m.queue.len() < maxOutstanding && m.executing < maxExecuting }

// endsCopy tells which messages a full queue must let pass: where the backend is reading
// COPY data, nothing else has it answer what the queue holds.
func (m *Machine) endsCopy(typ byte) bool {
	return m.copyIn && (typ == pgwire.CopyDone || typ == pgwire.CopyFail)
}

// works tells which messages ask for something to be done.
func works(typ byte) bool {
	switch typ {
	case pgwire.CopyData, pgwire.CopyDone, pgwire.CopyFail, pgwire.Sync, pgwire.Flush, pgwire.Terminate:
		return false
	default:
		return true
	}
}

// needs returns how much of a message must have come before it is handled.
func (m *Machine) needs(typ byte, size int) int {
	const functionOID = 4
	switch typ {
	case pgwire.Query, pgwire.Parse:
		if size > m.opt.MaxMessage {
			return 0
		}
		return size
	case pgwire.FunctionCall:
		if records(m.ruling.Record.Parameters) && size <= m.opt.MaxMessage {
			return size // what it calls is on record before it is forwarded
		}
		return min(size, pgwire.HeaderSize+functionOID)
	case pgwire.CopyData, pgwire.Bind:
		return 0
	default:
		return size
	}
}

// push adds a message to those that wait for an answer, unless the server passes
// over it: then it is settled already.
func (m *Machine) push(now int64, e entry) {
	e.sent = now
	if e.kind != kindSync && e.kind != kindCopyEnd && !m.copyIn {
		m.sent.end() // what came before it was no COPY's
	}
	if m.skipping && e.kind != kindSync {
		m.skip(&e)
		return
	}
	m.skipping = false
	if e.kind.executes() {
		m.executing++
	}
	// A Bind plans its statement, which may run functions.
	m.unreported = m.unreported || e.kind.executes() || e.kind == kindBind
	m.started(now)
	m.queue.push(e)
	m.cancels.unsent++
}

// id makes an id for an entry's or a run's definition.
func (m *Machine) id() uint64 {
	m.nextID++
	return m.nextID
}

func (m *Machine) onSync(now int64) {
	m.expectEnd()
	// Of Syncs inside the data of a COPY one stands for all: none is answered, or nobody
	// knows how many are.
	if last := m.queue.len() - 1; !m.copyIn || last < 0 || !m.queue.at(last).swallowed() {
		m.push(now, entry{kind: kindSync, inCopy: m.copyIn})
	}
	m.uncertain = m.uncertain && m.copyIn
	m.segment++
}

// onMalformedFlush follows a Flush that has a body: the server refuses that with 08P01
// and skips to Sync, but where it reads COPY data it ignores every Flush. Should the COPY
// have failed by then, that must not be what comes of it.
func (m *Machine) onMalformedFlush(now int64) action {
	switch {
	case m.uncertain:
		return adrift
	case m.copyIn:
		return discard
	}
	m.push(now, entry{kind: kindBadFlush})
	return pass
}

func (m *Machine) onClose(now int64, body []byte) {
	e := entry{kind: kindClose}
	if name, _, ok := pgwire.CString(body[min(1, len(body)):]); ok {
		switch body[0] {
		case 'S':
			e.slot = m.statements.find(name)
		case 'P':
			e.slot, e.ofWire = m.portals.find(name), true
		}
	}
	m.push(now, e)
}

// maxNames bounds the names at the start of a Bind, which must have come whole.
const maxNames = 8 << 10

// onBind binds a portal to the statement. At the parameters it looks where the rule
// asks for it, as they pass.
func (m *Machine) onBind(now int64, b []byte, size int, out *Output) (act action, need int) {
	// However much has come: what is decided must not depend on that.
	portal, rest, ok := pgwire.CString(b[pgwire.HeaderSize:max(pgwire.HeaderSize, min(len(b), maxNames))])
	var name []byte
	if ok {
		name, _, ok = pgwire.CString(rest)
	}
	if !ok && len(b) < min(size, maxNames) {
		return pass, min(size, maxNames)
	}
	if !ok {
		// Without both names the server refuses the message (08P01), and one
		// with longer names is refused here in the same way.
		m.push(now, entry{kind: kindBind})
		m.replacement = pgwire.AppendMessage(m.replacement[:0], pgwire.Bind)
		return replace, 0
	}
	if m.ruling.Record.Parameters == auth.RecordFull && size > m.opt.MaxMessage {
		return m.tooLargeToRecord(now, kindBind, size, out), 0
	}
	rest = b[pgwire.HeaderSize+len(portal)+1+len(name)+1:]
	c := m.statements.lookup(name, m.segment)
	e := entry{kind: kindBind, id: m.id()}
	bound := c.bound()
	bound.portal, bound.moves = true, m.known.search.moves
	if records(m.ruling.Record.Parameters) {
		bound.parameters = m.capture.begin(m, &c)
		m.capture.write(rest, len(b) == size, m)
	}
	e.slot = m.portals.define(portal, e.id, m.segment, bound)
	m.push(now, e)
	return pass, 0
}

// onFunctionCall judges a call of a function by its OID.
func (m *Machine) onFunctionCall(now int64, body []byte, size int, out *Output) action {
	if len(body) < 4 {
		m.push(now, entry{kind: kindFunctionCall})
		return pass // refused by the server: 08P01
	}
	if size > m.opt.MaxMessage && records(m.ruling.Record.Parameters) {
		return m.tooLargeToRecord(now, kindFunctionCall, size, out)
	}
	st := statement.Fastpath(binary.BigEndian.Uint32(body))
	cause := statement.CauseNone
	if st.Class&statement.Unknown != 0 {
		cause = statement.CauseFastpath
	}
	v := m.weigh(st, nil)
	v.cause = string(cause)
	r := record{typ: audit.Statement, st: st, protocol: "fastpath"}
	if v.decision == audit.Denied {
		r.refusal = m.refuse(&v)
	}
	params := m.arguments(body, st)
	seq, ref := m.recordWith(params, &v, r, out)
	e := entry{kind: kindFunctionCall, refusal: ref}
	if ref == nil {
		m.followPath(&v)
		m.move(st, &v)
		e.runs = 1
		m.runs.push(run{seq: seq, st: st})
	} else {
		m.replacement = pgwire.AppendMessage(m.replacement[:0], pgwire.FunctionCall, refusedCall[:])
	}
	m.push(now, e)
	return ref.action()
}

// refusedCall calls the function with OID 0, which does not exist: no argument
// formats, no arguments, a result in text.
var refusedCall [10]byte
