package relay

import (
	"errors"
	"unsafe"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// record is what stands in a statement's record beside the verdict.
type record struct {
	typ      audit.Type
	st       *statement.Statement
	form     statement.Form
	protocol string
	name     []byte
	index    int
	of       int
	size     int      // bytes of a message that was not read
	refusal  *refusal // that the record tells of
	trace    statement.Trace
	params   *audit.Parameters
	parses   bool // it is the text of a Parse
}

// record writes a statement down. It returns its number, and what to answer
// instead of forwarding it: the refusal that was given, or one because there is
// no record.
func (m *Machine) record(v *verdict, r record, out *Output) (seq uint64, ref *refusal) {
	if v.hides && r.st.Text != "" && (r.parses || r.st.Effect.Kind == statement.EffectExecute) {
		r.st, r.form = veiled(r.st), statement.Masked
	}
	ev := &m.hand().event
	*ev = audit.Event{
		Type: r.typ, Prepared: m.opt.Prepared, Budget: m.opt.Budget, Decision: v.decision,
		Cause: v.cause, Rule: v.rule, Missing: v.missing,
		Command: r.st.Command, Class: v.class, Tags: v.tags, Objects: r.st.Objects,
		Name: view(r.name), Fingerprint: r.st.Fingerprint,
		Protocol: r.protocol, Bytes: int64(r.size), Trace: r.trace, Parameters: r.params,
	}
	ev.Resolution, ev.Resolved, ev.LeftOut = v.resolution, m.listed(v), v.leftOut
	m.show(ev, &r)
	if r.of > 1 {
		ev.Index, ev.Of = uint32(r.index+1), uint32(r.of)
	}
	if r.refusal != nil {
		ev.Incident = r.refusal.err.Incident
	}
	ev.Detail = v.doubt
	if r.typ == audit.Statement {
		m.whoami(ev, r.st, v)
	}
	if v.batch {
		ev.Detail = "another statement of the same message is denied"
	}
	g := m.ruling
	if v.rule == "" && g.Rule != m.opt.Grant.Rule {
		ev.Rule = g.Rule // a reload gave the session another
	}
	receipt, err := m.opt.Recorder.Record(ev)
	if r.typ == audit.Statement {
		m.count(v, err)
	}
	if err != nil {
		return 0, m.unrecorded(err)
	}
	if r.typ == audit.Statement && r.refusal == nil {
		m.expect(r.st, v)
		m.touch(r.st, v)
	}
	if g.Durability == auth.DurableDisk {
		out.Receipt, out.Durable = receipt, true
	}
	return receipt.Sequence, r.refusal
}

func (m *Machine) count(v *verdict, err error) {
	m.totals.Statements++
	decision := v.decision
	if err != nil {
		decision = audit.Unavailable
	}
	if decision == audit.Denied || decision == audit.Unavailable {
		m.totals.Denied++
	}
	if m.opt.OnDecision != nil {
		m.opt.OnDecision(decision, v.rule)
	}
}

// unrecorded makes the refusal of a statement that could not be written down.
func (m *Machine) unrecorded(err error) *refusal {
	e := pgwire.Error{
		Severity: pgwire.SeverityError,
		Code:     pgwire.IOError,
		Message:  "the statement was not run because its audit record could not be written",
		Hint:     "Nothing runs unrecorded. Tell the proxy's operator; the statement can be sent again once the journal is in order.",
		Incident: m.opt.Incident(),
	}
	full, budget := errors.Is(err, audit.ErrFull), errors.Is(err, audit.ErrBudget)
	switch {
	case full && budget:
		e.Code = pgwire.DiskFull
		e.Message = "the statement was not run because the audit journal is full but for the share of others"
		e.Hint = "Nothing runs unrecorded. Tell the proxy's operator; the statement can be sent again once there is room."
	case full:
		e.Code = pgwire.DiskFull
		e.Message = "the statement was not run because the audit journal is full"
		e.Hint = "Nothing runs unrecorded. Tell the proxy's operator; the statement can be sent again once there is room."
	case budget:
		e.Code = pgwire.ConfigurationLimitExceeded
		e.Message = "the statement was not run because the account has used up its budget of the audit journal"
		e.Hint = "Nothing runs unrecorded. Send fewer or shorter statements, or ask the proxy's operator for a larger journal.budget."
	}
	if m.opt.OnUnrecorded != nil {
		m.opt.OnUnrecorded(e.Incident, err)
	}
	return &refusal{err: e}
}

// view reads bytes as a string without a copy. The recorder keeps no reference.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is the other way round: the bytes are not to be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
