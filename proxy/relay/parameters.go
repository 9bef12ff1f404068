package relay

import (
	"encoding/binary"
	"fmt"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/parameters"
)

// captured is what a portal was bound with, once its Bind has come whole. err says
// why that could not be kept: nothing is executed of it then.
type captured struct {
	set *audit.Parameters
	err error
}

// capture reads the parameters of the Bind at hand as its bytes pass. A Bind
// executes nothing, so they may reach the server before they are on record: that
// is what an Execute waits for.
type capture struct {
	open   bool // bytes of a Bind are to come
	redact bool
	into   *captured
	reader *parameters.Reader // nil before the first that a rule asks for
	held   int                // bytes of values that portals hold in memory, about
	wait   int                // Binds until they are counted again
}

// records tells if there is anything to record.
func records(r auth.Recording) bool { return r == auth.RecordDigest || r == auth.RecordFull }

// begin begins the parameters of a statement.
func (c *capture) begin(m *Machine, of *candidates) *captured {
	c.use(m)
	c.open, c.into = true, &captured{}
	c.redact = of.unknown
	for _, def := range of.defs[:of.n] {
		c.redact = c.redact || statement.TakesSecrets(def)
	}
	c.redact = c.redact || of.form() != statement.Verbatim
	c.reader.Begin(false, m.ruling.Record.Parameters == auth.RecordFull, of.types())
	return c.into
}

func (c *capture) use(m *Machine) {
	if c.reader == nil {
		c.reader = parameters.New(parameters.Options{Store: m.opt.Recorder, Spool: m.opt.Spool})
	}
	c.reader.Search(m.ruling.Record.Patterns)
}

// write takes the next bytes of the Bind at hand.
func (c *capture) write(b []byte, last bool, m *Machine) {
	c.reader.Write(b)
	if !last {
		return
	}
	c.open = false
	c.into.set, c.into.err = c.reader.End(c.redact, c.roomy(m))
	if c.into.set != nil {
		c.held += len(c.into.set.Values)
	}
	c.into = nil
}

// close gives up a Bind that did not come whole.
func (c *capture) close() {
	if c.reader != nil {
		c.reader.Close()
	}
}

const (
	// maxHeld bounds the values, in bytes, that a session's portals hold in memory;
	// beyond it they go to blobs whatever their size.
	maxHeld = 1 << 20
	// recount is after how many Binds beyond that bound what is held is counted
	// again: portals go in many ways.
	recount = 64
)

// roomy says whether values may be held in memory.
func (c *capture) roomy(m *Machine) bool {
	if c.held < maxHeld {
		return true
	}
	if c.wait > 0 {
		c.wait--
		return false
	}
	if c.held = m.portals.holds(); c.held < maxHeld {
		return true
	}
	c.wait = recount
	return false
}

// holds counts the bytes of values that the portals of a table hold.
func (t *table) holds() int {
	n := t.unnamed.holds()
	for _, s := range t.named {
		n += s.holds()
	}
	return n
}

func (s *slot) holds() int {
	n := s.now.parameters.size()
	for i := range s.later {
		n += s.later[i].b.parameters.size()
	}
	return n
}

func (c *captured) size() int {
	if c == nil || c.set == nil {
		return 0
	}
	return len(c.set.Values)
}

// recordWith is record with parameters. Where they could not be kept, the statement
// is refused as one that could not be recorded.
func (m *Machine) recordWith(c *captured, v *verdict, r record, out *Output) (seq uint64, ref *refusal) {
	if c == nil {
		return m.record(v, r, out)
	}
	if c.err != nil && r.refusal == nil {
		v.decision, v.cause = audit.Unavailable, "parameters"
		r.refusal = m.unrecorded(c.err)
	}
	r.params = c.set
	return m.record(v, r, out)
}

// arguments reads those of a FunctionCall, which has come whole; nil where the rule
// asks for none.
func (m *Machine) arguments(body []byte, st *statement.Statement) *captured {
	if !records(m.ruling.Record.Parameters) {
		return nil
	}
	c := &m.capture
	c.use(m)
	oid := binary.BigEndian.Uint32(body)
	c.reader.Begin(true, m.ruling.Record.Parameters == auth.RecordFull, parameters.CallTypes(oid))
	c.reader.Write(body[4:])
	redact := st.Class&statement.Unknown != 0 || statement.TakesSecrets(st)
	set, err := c.reader.End(redact, true)
	return &captured{set, err}
}

// declared returns the parameter types that a Parse declares, where a rule asks for
// parameters; nil for none. rest is what stands behind its text.
func (m *Machine) declared(rest []byte) []uint32 {
	if !records(m.ruling.Record.Parameters) || len(rest) <= 2 {
		return nil
	}
	return readTypes(rest)
}

// readTypes reads a count and as many OIDs.
func readTypes(b []byte) []uint32 {
	if len(b) < 2 || len(b) < 2+4*int(binary.BigEndian.Uint16(b)) {
		return nil
	}
	types := make([]uint32, binary.BigEndian.Uint16(b))
	for i := range types {
		types[i] = binary.BigEndian.Uint32(b[2+4*i:])
	}
	return types
}

// onDescribe notes whose parameters the server is asked to describe.
func (m *Machine) onDescribe(now int64, body []byte) {
	e := entry{kind: kindDescribe}
	if records(m.ruling.Record.Parameters) && len(body) > 0 && body[0] == 'S' {
		if name, _, ok := pgwire.CString(body[1:]); ok {
			e.slot = m.statements.find(name)
		}
	}
	m.push(now, e)
}

// onParameterDescription keeps the types that the server found, which a Parse may
// have left open.
func (m *Machine) onParameterDescription(body []byte) {
	e := m.front(pgwire.ParameterDescription)
	if e == nil || e.kind != kindDescribe || e.slot == nil || e.slot.now.def == nil {
		return
	}
	if types := readTypes(body); len(types) > 0 {
		e.slot.now.types = types
	}
}

// tooLargeToRecord refuses a message whose parameters the rule wants on record.
func (m *Machine) tooLargeToRecord(now int64, k kind, size int, out *Output) action {
	act := m.exceeds(now, k, size, pgwire.Error{
		Message: fmt.Sprintf("a message of %d bytes is too large for its parameters to be recorded", size),
		Detail:  fmt.Sprintf("The limit is %d bytes; rule %q records parameters.", m.opt.MaxMessage, m.ruling.Rule),
		Hint:    "Send the data in smaller parts, or with COPY.",
	}, out)
	if k == kindFunctionCall {
		m.replacement = pgwire.AppendMessage(m.replacement[:0], pgwire.FunctionCall, refusedCall[:])
	}
	return act
}
