package relay

import (
	"encoding/binary"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// onParse judges the text of a Parse message. Nothing runs yet, but the text
// reaches the server, so it is on record; what runs is recorded at Execute.
func (m *Machine) onParse(now int64, body []byte, size int, out *Output) action {
	if size > m.opt.MaxMessage {
		return m.tooLarge(now, kindParse, size, out)
	}
	name, text, fault := cutParse(body)
	if fault != nil {
		return m.malformed(now, kindParse, masked(body), fault, out)
	}
	j, ok := m.judgement(text)
	if !ok {
		return park
	}
	return m.parse(now, name, body[len(name)+1+len(text)+1:], j, out)
}

// parse decides on a Parse whose text has been judged. rest stands behind the text.
func (m *Machine) parse(now int64, name, rest []byte, j *statement.Judgement, out *Output) action {
	st := whole(j)
	v := verdict{decision: audit.Allowed, class: j.Class, tags: j.Tags, cause: string(j.Cause)}
	m.deny(&v, m.ruling, m.behind(st, nil, &v, m.ruling.Decide(j, m.path)))
	var c candidates
	for i := range j.Statements {
		v.hides = v.hides || m.resolve(&j.Statements[i], &c) != nil && c.hides()
	}
	r := record{typ: audit.Prepare, st: st, form: j.Form, protocol: "extended", name: name, trace: m.trace, parses: true}
	switch {
	case v.decision == audit.Denied:
		r.typ, r.refusal = audit.Statement, m.refuse(&v)
	case m.cancels.meant:
		v.forego()
		r.typ, r.refusal = audit.Statement, m.cancelled()
	}
	seq, ref := m.record(&v, r, out)
	e := entry{kind: kindParse, id: m.id(), refusal: ref}
	st = m.withoutText(st)
	form := j.Form
	if st.Blob.Length > 0 {
		form = m.hand().event.Form // under which its text is kept
	}
	e.slot = m.statements.define(name, e.id, m.segment, binding{
		def: st, form: form, trace: m.trace, from: seq, refused: ref != nil, types: m.declared(rest),
	})
	if ref == nil {
		m.runs.push(run{seq: seq, st: st, parse: true})
		e.runs = 1
	} else {
		m.replacement = ref.parse(m.replacement[:0])
	}
	m.push(now, e)
	return ref.action()
}

// withoutText is the statement that was recorded last, with the name of its text in
// the place of one that is too long to be kept for as long as it stays prepared.
func (m *Machine) withoutText(st *statement.Statement) *statement.Statement {
	ev := &m.hand().event
	if st.Text == "" || ev.TextBlob.Length == 0 {
		return st
	}
	short := *st
	if short.Digest = ev.TextDigest; short.Digest == [32]byte{} {
		short.Digest = ev.TextBlob.Digest
	}
	short.Text, short.Blob = "", ev.TextBlob
	return &short
}

// whole returns the statement of a text that is to have one. Of several the server
// takes none (42601), and they are on record as one.
func whole(j *statement.Judgement) *statement.Statement {
	switch len(j.Statements) {
	case 0:
		return &emptyText
	case 1:
		return &j.Statements[0]
	}
	all := statement.Statement{Command: j.Statements[0].Command, Class: j.Class, Tags: j.Tags}
	texts := make([]string, len(j.Statements))
	for i := range j.Statements {
		texts[i] = j.Statements[i].Text
		all.Objects = append(all.Objects, j.Statements[i].Objects...)
		all.Calls = all.Calls || j.Statements[i].Calls
		all.Fields = append(all.Fields, j.Statements[i].Fields...)
	}
	all.Text = strings.Join(texts, ";")
	return &all
}

// The bodies of Parse messages that the server refuses.
var (
	shortParse = []byte{0, 0}            // insufficient data left in message
	longParse  = []byte{0, 0, 0, 0, 'x'} // invalid message format
)

// cutParse takes a Parse message apart. fault is the body of a message that the
// server refuses for the same reason, where this one is malformed: it reads two
// strings, the number of parameter types, and as many OIDs.
func cutParse(body []byte) (name, text, fault []byte) {
	name, rest, ok := pgwire.CString(body)
	if ok {
		text, rest, ok = pgwire.CString(rest)
	}
	switch {
	case !ok:
		return nil, nil, []byte("x") // invalid string in message
	case len(rest) < 2 || len(rest) < 2+4*int(binary.BigEndian.Uint16(rest)):
		return nil, nil, shortParse
	case len(rest) > 2+4*int(binary.BigEndian.Uint16(rest)):
		return nil, nil, longParse
	}
	return name, text, nil
}

// onExecute records what a portal runs. A portal that is resumed runs the
// statement that is on record already.
func (m *Machine) onExecute(now int64, body []byte, out *Output) action {
	portal, _, ok := pgwire.CString(body)
	if !ok || len(body) != len(portal)+1+4 {
		m.push(now, entry{kind: kindExecute})
		return pass // refused by the server: 08P01
	}
	c := m.portals.lookup(portal, m.segment)
	if c.skipped || m.skipping {
		m.push(now, entry{kind: kindExecute})
		return pass
	}
	st := c.merged()
	v := m.weigh(st, &c)
	if v.decision != audit.Denied {
		m.weighNames(st, &v)
	}
	resumes := c.certain() && c.newest.runs(m.segment)
	if resumes && v.decision != audit.Denied {
		m.resume(st, &v)
		m.push(now, entry{kind: kindExecute, slot: m.portals.find(portal)})
		return pass
	}
	return m.execute(now, portal, st, &c, &v, out)
}

// resume follows what a portal may set that goes on: a query sets what it sets for each
// row, behind what has set it otherwise since.
func (m *Machine) resume(st *statement.Statement, v *verdict) {
	m.followPath(v)
	m.move(st, v)
	m.doubtRole(st, v)
}

// weighNames adds what an EXECUTE or FETCH in a portal stands for.
func (m *Machine) weighNames(st *statement.Statement, v *verdict) {
	var c candidates
	if m.resolve(st, &c) != nil {
		named := m.weigh(st, &c)
		named.class |= v.class
		named.tags |= v.tags
		named.path = named.path || v.path
		named.hides = named.hides || v.hides
		named.recodes = named.recodes || v.recodes
		named.resolvedWith(v)
		named.doubt = strings.TrimSpace(v.doubt + " " + named.doubt)
		*v = named
	}
}

func (m *Machine) execute(now int64, portal []byte, st *statement.Statement, c *candidates, v *verdict, out *Output) action {
	r := record{typ: audit.Statement, st: st, form: c.form(), protocol: "extended", name: portal, trace: c.trace()}
	if v.decision == audit.Denied {
		r.refusal = m.refuse(v)
	}
	var params *captured
	if c.newest != nil {
		params = c.newest.parameters
	}
	seq, ref := m.recordWith(params, v, r, out)
	e := entry{kind: kindExecute, slot: m.portals.find(portal), refusal: ref}
	if ref == nil {
		m.followPath(v)
		m.move(st, v)
		m.predefine(st, r.form, v)
		v.sign(seq)
		m.runs.push(run{seq: seq, id: v.id, slot: v.slot, st: v.ran(st)})
		e.runs = 1
		if c.newest != nil {
			c.newest.seq, c.newest.sent = seq, m.segment
		}
	} else {
		m.replacement = ref.parse(m.replacement[:0])
	}
	m.push(now, e)
	return ref.action()
}
