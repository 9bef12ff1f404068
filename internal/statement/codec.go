package statement

import (
	"encoding/binary"
	"errors"
	"strings"
)

// The encoding of a judgement on its way from a worker. Numbers are unsigned
// varints, strings have their length before them; a statement's text is a part
// of the question where it can be, and then only its place is sent.
//
//	judgement = form cause sensitive maskable count statement*
//	statement = command class tags fingerprint destructive text secrets calls fields count object* kind name hold inner
//	object    = schema name kind use late
//	text      = 0 string | 1 start length
//	inner     = 0 | 1 statement
//
// The reader takes its writer for an enemy: a worker that a text has taken over
// can only answer a judgement of the right form.

const (
	literalText = 0
	quotedText  = 1
)

// maxInner bounds statements within statements.
const maxInner = 2

// AppendJudgement appends the encoding of the judgement of a text.
func AppendJudgement(b []byte, j *Judgement, text string) []byte {
	b = append(b, byte(j.Form))
	b = appendString(b, string(j.Cause))
	b = appendBool(b, j.Sensitive)
	b = appendBool(b, j.Maskable)
	b = binary.AppendUvarint(b, uint64(len(j.Statements)))
	e := encoder{text: text, verbatim: j.Form == Verbatim}
	for i := range j.Statements {
		b = e.statement(b, &j.Statements[i])
	}
	return b
}

// encoder knows how far into the text the statements have come: they stand in
// it in their order.
type encoder struct {
	text     string
	from     int
	verbatim bool
}

func (e *encoder) statement(b []byte, s *Statement) []byte {
	b = appendString(b, s.Command)
	b = binary.AppendUvarint(b, uint64(s.Class))
	b = binary.AppendUvarint(b, uint64(s.Tags))
	b = binary.LittleEndian.AppendUint64(b, s.Fingerprint)
	b = appendString(b, s.Destructive)
	b = e.part(b, s.Text)
	b = appendBool(b, s.Secrets)
	b = appendBool(b, s.Calls)
	b = binary.AppendUvarint(b, uint64(len(s.Fields)))
	for _, f := range s.Fields {
		b = appendString(b, f)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Objects)))
	for _, o := range s.Objects {
		b = appendString(appendString(appendString(b, o.Schema), o.Name), o.Kind)
		b = appendBool(append(b, byte(o.Use)), o.Late)
	}
	b = append(b, byte(s.Effect.Kind))
	b = appendString(b, s.Effect.Name)
	b = appendBool(b, s.Effect.Hold)
	b = appendBool(b, s.Effect.Inner != nil)
	if s.Effect.Inner != nil {
		within := encoder{text: e.text[:e.from], from: max(e.from-len(s.Text), 0), verbatim: e.verbatim}
		b = within.statement(b, s.Effect.Inner)
	}
	return b
}

func (e *encoder) part(b []byte, part string) []byte {
	if i := e.find(part); i >= 0 {
		b = append(b, quotedText)
		b = binary.AppendUvarint(b, uint64(e.from+i))
		e.from += i + len(part)
		return binary.AppendUvarint(b, uint64(len(part)))
	}
	return appendString(append(b, literalText), part)
}

func (e *encoder) find(part string) int {
	if !e.verbatim {
		return -1
	}
	return strings.Index(e.text[e.from:], part)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// ErrAnswer says that a worker's answer is not a judgement.
var ErrAnswer = errors.New("the parser worker's answer is malformed")

// ParseJudgement decodes the judgement of a text. What it returns refers to
// text, and to nothing of b.
func ParseJudgement(b []byte, text string) (*Judgement, error) {
	d := decoder{b: b, text: text}
	j := &Judgement{Form: Form(d.byte(uint8(Masked))), Cause: Cause(d.string())}
	j.Sensitive, j.Maskable = d.bool(), d.bool()
	j.Statements = make([]Statement, d.count(minStatement))
	for i := range j.Statements {
		d.statement(&j.Statements[i], maxInner)
		j.Class |= j.Statements[i].Class
		j.Tags |= j.Statements[i].Tags
	}
	if d.failed || len(d.b) > 0 || !knownCauses[j.Cause] {
		return nil, ErrAnswer
	}
	return j, nil
}

var knownCauses = map[Cause]bool{
	CauseNone: true, CauseSyntax: true, CauseEncoding: true, CauseParser: true, CauseProtocol: true,
	CauseStrings: true,
}

// The least bytes that a statement and an object take, so that a count cannot
// make the reader allocate more than a multiple of what it was sent.
const (
	minStatement = 23
	minObject    = 5
)

// decoder reads an answer off b. After the first fault all it reads is zero.
type decoder struct {
	b      []byte
	text   string
	failed bool
}

func (d *decoder) fail() {
	d.failed = true
	d.b = nil
}

func (d *decoder) byte(most uint8) uint8 {
	if len(d.b) == 0 || d.b[0] > most {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool { return d.byte(1) == 1 }

func (d *decoder) number(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) count(size int) int {
	return int(d.number(uint64(len(d.b) / size)))
}

// take returns the bytes of a string.
func (d *decoder) take() []byte {
	n := d.number(uint64(len(d.b)))
	if n > uint64(len(d.b)) { // the length took some of them
		d.fail()
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) string() string { return string(d.take()) }

// known reads a string that is most often one of a few.
func (d *decoder) known() string {
	b := d.take()
	if s, ok := commonStrings[string(b)]; ok {
		return s
	}
	return string(b)
}

var commonStrings = func() map[string]string {
	m := map[string]string{}
	for _, s := range []string{
		"", "SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "SET",
		"relation", "table", "function", "public", "pg_catalog",
	} {
		m[s] = s
	}
	return m
}()

// part reads a statement's text.
func (d *decoder) part() string {
	if d.byte(quotedText) == literalText {
		return d.string()
	}
	start := d.number(uint64(len(d.text)))
	n := d.number(uint64(len(d.text)) - start)
	return d.text[start : start+n]
}

func (d *decoder) statement(s *Statement, depth int) {
	s.Command = d.known()
	s.Class = Class(d.number(1<<len(classNames) - 1))
	s.Tags = Tag(d.number(1<<len(tagNames) - 1))
	if len(d.b) < 8 {
		d.fail()
		return
	}
	s.Fingerprint = binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	s.Destructive = d.known()
	s.Text = d.part()
	s.Secrets = d.bool()
	s.Calls = d.bool()
	if n := d.count(1); n > 0 {
		s.Fields = make([]string, n)
	}
	for i := range s.Fields {
		s.Fields[i] = d.string()
	}
	if n := d.count(minObject); n > 0 {
		s.Objects = make([]Object, n)
	}
	for i := range s.Objects {
		s.Objects[i] = Object{Schema: d.known(), Name: d.string(), Kind: d.known(), Use: Use(d.byte(uint8(UseExecute))), Late: d.bool()}
	}
	s.Effect = Effect{Kind: EffectKind(d.byte(uint8(effectEnd) - 1)), Name: d.string(), Hold: d.bool()}
	if !d.bool() {
		return
	}
	if depth == 0 {
		d.fail()
		return
	}
	s.Effect.Inner = &Statement{}
	d.statement(s.Effect.Inner, depth-1)
}
