package relay

import (
	"bytes"
	"fmt"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// refusal is the answer to a statement that does not reach the backend. Another
// message goes in its place that the backend refuses, so that the error is the
// backend's own: it aborts the transaction, and skips to Sync.
type refusal struct {
	err   pgwire.Error
	quiet bool // the client is not told the incident
}

// action is what becomes of the message; a nil refusal lets it pass.
func (r *refusal) action() action {
	if r == nil {
		return pass
	}
	return replace
}

// refuse makes the refusal of what a rule denies.
func (m *Machine) refuse(v *verdict) *refusal {
	g := m.ruling
	e := pgwire.Error{
		Severity: pgwire.SeverityError,
		Code:     pgwire.InsufficientPrivilege,
		Message:  "permission denied: " + v.what,
		Detail:   fmt.Sprintf("Rule %q does not give role %q %s.", g.Rule, g.Role, v.missing),
		Hint:     fmt.Sprintf("Ask for a rule that allows %s, or connect with another role of yours: options='-c pgcustos.role=NAME'.", v.missing),
		Incident: m.opt.Incident(),
	}
	if v.kept != "" {
		e.Detail = fmt.Sprintf("Rule %q keeps role %q from %s.", g.Rule, g.Role, v.kept)
		e.Hint = "Name the schema where another object is meant, or ask for a rule that lets you at this one."
	}
	return &refusal{err: e}
}

// tooLarge refuses a message that is larger than what is judged. Its body is
// passed over as it comes.
func (m *Machine) tooLarge(now int64, k kind, size int, out *Output) action {
	return m.exceeds(now, k, size, pgwire.Error{
		Message: fmt.Sprintf("a message of %d bytes is too large to be judged", size),
		Detail:  fmt.Sprintf("The limit is %d bytes.", m.opt.MaxMessage),
		Hint:    "Send the data as parameters or with COPY, which have no such limit.",
	}, out)
}

// tooMany refuses a Query of more statements than are judged.
func (m *Machine) tooMany(now int64, n, size int, out *Output) action {
	return m.exceeds(now, kindQuery, size, pgwire.Error{
		Message: fmt.Sprintf("a message of %d statements is too long to be judged", n),
		Detail:  fmt.Sprintf("The limit is %d statements.", maxStatements),
		Hint:    "Send fewer statements at once.",
	}, out)
}

// exceeds refuses a message that is beyond a bound, with 54000 where e has no code.
func (m *Machine) exceeds(now int64, k kind, size int, e pgwire.Error, out *Output) action {
	e.Severity, e.Incident = pgwire.SeverityError, m.opt.Incident()
	if e.Code == "" {
		e.Code = pgwire.ProgramLimitExceeded
	}
	v := verdict{decision: audit.Unavailable, class: statement.Unknown, cause: string(statement.CauseSize)}
	_, ref := m.record(&v, record{
		typ: audit.Statement, st: &unknownName, form: statement.Masked, protocol: protocolOf(k), size: size, refusal: &refusal{err: e},
	}, out)
	if k == kindQuery {
		m.replacement = ref.query(m.replacement[:0])
	} else {
		m.replacement = ref.parse(m.replacement[:0])
	}
	m.push(now, entry{kind: k, refusal: ref})
	return replace
}

func protocolOf(k kind) string {
	switch k {
	case kindQuery:
		return "simple"
	case kindFunctionCall:
		return "fastpath"
	default:
		return "extended"
	}
}

// query appends the Query that goes in the place of another: one quoted
// identifier with the incident's id, which the backend's error and log repeat.
func (r *refusal) query(dst []byte) []byte {
	return pgwire.AppendMessage(dst, pgwire.Query, r.identifier(), []byte{0})
}

// reservedName is the prepared statement's name under which a refusal travels in
// the extended protocol, so that the client's unnamed statement stays. It never
// comes to be: its text does not parse.
const reservedName = "pgcustos_refusal"

// parse appends the Parse that goes in the place of a Parse or Execute.
func (r *refusal) parse(dst []byte) []byte {
	return pgwire.AppendMessage(dst, pgwire.Parse, []byte(reservedName), []byte{0}, r.identifier(), []byte{0, 0, 0})
}

func (r *refusal) identifier() []byte {
	return []byte(`"pgcustos incident ` + r.err.Incident + `"`)
}

// answers reports whether an error of the backend is the one that the message in
// the refused one's place was meant to raise.
func (r *refusal) answers(f pgwire.Fields) bool {
	if r.err.Code == "" || string(f.Severity) != pgwire.SeverityError {
		return false
	}
	switch string(f.Code) {
	case "42601": // syntax_error
		return bytes.Contains(f.Message, []byte(r.err.Incident))
	case "0A000": // a walsender without a database takes no SQL
		return true
	case "42883", "25P02": // undefined_function; in_failed_sql_transaction, for a FunctionCall
		return true
	default:
		return false
	}
}
