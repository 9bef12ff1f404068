package relay

import (
	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// onQuery judges a Query message: as a whole, for the server runs its statements
// as one transaction.
func (m *Machine) onQuery(now int64, body []byte, size int, out *Output) action {
	if size > m.opt.MaxMessage {
		return m.tooLarge(now, kindQuery, size, out)
	}
	text, rest, ok := pgwire.CString(body)
	if !ok || len(rest) > 0 {
		return m.malformed(now, kindQuery, masked(body), queryFault(ok), out)
	}
	j, ok := m.judgement(text)
	if !ok {
		return park
	}
	return m.query(now, j, size, out)
}

// query decides on a Query whose text has been judged.
func (m *Machine) query(now int64, j *statement.Judgement, size int, out *Output) action {
	if len(j.Statements) > maxStatements {
		return m.tooMany(now, len(j.Statements), size, out)
	}
	m.segment++
	ref := m.admit(now, j, out)
	m.expectEnd()
	m.segment++
	return ref.action()
}

// maxStatements bounds the statements of one Query: each has a record, and room
// that is kept for its outcome.
const maxStatements = 10_000

// judgement returns what is known of a text, or asks the driver to find out.
func (m *Machine) judgement(text []byte) (*statement.Judgement, bool) {
	j := m.judged
	m.judged = nil
	m.cancels.meant = j != nil && m.cancels.take()
	if j == nil {
		cached, ok := m.opt.Judge.Cached(text, m.encoding)
		if !ok {
			m.text, m.asked = text, m.encoding
			return nil, false
		}
		j, m.asked = cached, m.encoding
	}
	return m.trusted(j, text), true
}

// trusted is the judgement, where the settings that it rests on are known.
func (m *Machine) trusted(j *statement.Judgement, text []byte) *statement.Judgement {
	m.trace = statement.ReadTrace(text)
	switch {
	case (m.asked != m.encoding || !m.encoded()) && !isASCII(text):
		// client_encoding changed while the parser was at it, or may by what was sent.
		return statement.UnknownText(text, statement.CauseEncoding)
	case j.Sensitive && !m.settled():
		return statement.UnknownText(text, statement.CauseStrings)
	}
	return j
}

// admit weighs the statements of a Query and records them, and puts the message
// into the queue: to be forwarded, or with the refusal of what goes in its place.
func (m *Machine) admit(now int64, j *statement.Judgement, out *Output) *refusal {
	statements := j.Statements
	if len(statements) == 0 {
		statements = emptyStatements
	}
	path, search, veiled, recoding, emptying, rested := m.path, m.known.search, m.known.veiled, m.recoding, m.emptying, m.resting()
	verdicts, denied := m.weighAll(statements, j)
	cancelled := denied < 0 && m.cancels.meant
	e := entry{kind: kindQuery, unknown: j.Cause != statement.CauseNone || statements[0].Command == statement.CommandBaseBackup}
	runs := m.runs.len()
	for i := range statements {
		v := &verdicts[i]
		r := record{
			typ: audit.Statement, st: &statements[i], form: j.Form, protocol: "simple",
			index: i, of: len(statements), refusal: e.refusal, trace: m.traceOf(&statements[i], len(statements)),
		}
		switch {
		case r.refusal != nil:
		case denied >= 0:
			r.refusal = m.refuse(&verdicts[denied])
		case cancelled:
			r.refusal = m.cancelled()
		}
		if cancelled {
			v.forego()
		}
		seq, ref := m.record(v, r, out)
		e.refusal = ref
		if ref == nil {
			v.sign(seq)
			m.runs.push(run{seq: seq, id: v.id, slot: v.slot, st: v.ran(r.st), batch: len(statements) > 1})
			e.runs++
		} else if denied < 0 && !cancelled {
			break // the journal refused: what stands before it in the text does not run either
		}
	}
	if e.refusal != nil {
		m.path, m.known.search, m.known.veiled, m.recoding, m.emptying = path, search, veiled, recoding, emptying // nothing of it runs
		m.retract(&e, runs)
		m.undefineAll(statements, verdicts)
		m.replacement = e.refusal.query(m.replacement[:0])
	} else {
		m.empty(statements, rested)
	}
	m.push(now, e)
	return e.refusal
}

// traceOf returns what the comments of a Query claim for one of its statements:
// its own comment, or else the last one of the text.
func (m *Machine) traceOf(st *statement.Statement, of int) statement.Trace {
	if of > 1 && !m.trace.IsZero() {
		if own := statement.ReadTrace([]byte(st.Text)); !own.IsZero() {
			return own
		}
	}
	return m.trace
}

var emptyStatements = []statement.Statement{emptyText}

// weighAll returns a verdict for each statement, until the next step, and the index of
// the first that is denied, or -1. Where one is, all are: the text is refused whole.
func (m *Machine) weighAll(statements []statement.Statement, j *statement.Judgement) (verdicts []verdict, denied int) {
	s := m.hand()
	s.forget()
	denied = -1
	var c candidates
	for i := range statements {
		st := &statements[i]
		v := m.weigh(st, m.resolve(st, &c))
		m.followPath(&v)
		m.move(st, &v)
		if j.Cause != statement.CauseNone {
			v.cause = string(j.Cause)
		}
		m.predefine(st, j.Form, &v)
		if v.decision == audit.Denied && denied < 0 {
			denied = i
		}
		s.verdicts = append(s.verdicts, v)
	}
	if denied >= 0 {
		for i := range s.verdicts {
			v := &s.verdicts[i]
			v.batch = v.decision != audit.Denied
			v.decision = audit.Denied
			v.rule = s.verdicts[denied].rule
		}
	}
	return s.verdicts, denied
}

// retract settles the statements of a Query that were recorded before the
// journal had no more room: they do not run.
func (m *Machine) retract(e *entry, runs int) {
	for i := runs; i < m.runs.len(); i++ {
		m.settle(m.runs.at(i), result{kind: audit.Skipped, code: e.refusal.err.Code, message: e.refusal.err.Message})
	}
	m.runs.truncate(runs)
	e.runs = 0
}

func (m *Machine) undefineAll(statements []statement.Statement, verdicts []verdict) {
	for i := range verdicts {
		m.undefine(&statements[i], verdicts[i].slot, verdicts[i].id)
	}
}

// queryFault is the body of a Query of the same fault as one that the server would
// refuse with 08P01: without a NUL, or with something behind it.
func queryFault(terminated bool) []byte {
	if terminated {
		return []byte{0, 'x'}
	}
	return []byte("x")
}

// masked is what is on record of a body that cannot be told from its bytes.
func masked(body []byte) *statement.Statement {
	return &statement.Statement{Class: statement.Unknown, Text: statement.Mask(body)}
}

// malformed records a message that cannot be told from its bytes, and replaces it by
// one that the server refuses for the same reason. None of the client's text is
// forwarded, none of it runs.
func (m *Machine) malformed(now int64, k kind, st *statement.Statement, fault []byte, out *Output) action {
	v := verdict{decision: audit.Unavailable, class: statement.Unknown, cause: string(statement.CauseProtocol)}
	_, ref := m.record(&v, record{
		typ: audit.Statement, st: st, form: statement.Masked, protocol: protocolOf(k), refusal: &refusal{},
	}, out)
	m.push(now, entry{kind: k, refusal: ref})
	typ := byte(pgwire.Query)
	if k != kindQuery {
		typ = pgwire.Parse
	}
	m.replacement = pgwire.AppendMessage(m.replacement[:0], typ, fault)
	return replace
}
