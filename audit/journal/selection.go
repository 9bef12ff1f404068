package journal

import (
	"encoding/binary"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// Choice is what a Selection makes of a record.
type Choice uint8

// The choices.
const (
	No    Choice = iota // it is not wanted
	Maybe               // Confirm says
	Yes                 // it is wanted
)

// Selection lets a Reader decode only the records that somebody wants. What it
// does not choose is read and proven like the rest, and its damage is reported.
type Selection struct {
	// Fields names the fields that Pick looks at (FORMAT.md, section 4), at most
	// MaxSelected of them.
	Fields []string
	// Picker makes a function that chooses. Each function is called by one
	// goroutine at a time, ahead of Next; two of them are called at once.
	Picker func() func(*Raw) Choice
	// Confirm says whether a record that may be wanted is. It is called in Next,
	// when all earlier records of the stream have been returned. nil: none is.
	Confirm func(*Reference) bool
	// Awaits says whether Confirm could say yes to a record of the stream, as
	// things stand. nil: it could.
	Awaits func(stream string) bool
	// Span says whether a record could match by itself in a part of the journal of
	// which an index tells this. It is called like a Picker's function, by several
	// goroutines at once. nil: it could.
	Span func(*Span) bool
}

// MaxSelected is how many fields a Selection can look at.
const MaxSelected = 30

// Raw is a record that is not decoded. It lives until the function returns that it
// is given to.
type Raw struct {
	Sequence uint64
	Time     int64 // Unix nanoseconds
	Type     audit.Type

	body   []byte
	values [MaxSelected][]byte
}

// Field returns the i-th of Selection.Fields: the last value where there are
// several, nil where there is none.
func (r *Raw) Field(i int) []byte { return r.values[i] }

// Number returns the i-th of Selection.Fields, as a number; 0 where there is none.
func (r *Raw) Number(i int) uint64 {
	if v := r.values[i]; len(v) == 8 {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

// Objects calls do with what the record names, until do says true. It says
// whether do has. The bytes are schema and name.
func (r *Raw) Objects(do func(schema, name []byte) bool) bool {
	for body := r.body; len(body) >= 6; {
		id, value := binary.LittleEndian.Uint16(body), body[6:][:binary.LittleEndian.Uint32(body[2:])]
		object := value
		if id == 65 {
			_, _, object, _ = splitResolved(value) // the fields were checked
		}
		if id == 53 || id == 65 {
			if o, _ := splitObject(object); do(o.schema, o.name) {
				return true
			}
		}
		body = body[6+len(value):]
	}
	return false
}

// Reference is what is known of a record that may be wanted. It lives until Confirm
// returns.
type Reference struct {
	Stream    string
	Sequence  uint64
	Type      audit.Type
	Session   []byte
	Statement uint64 // of an outcome: the sequence of its statement
}

// picker chooses for one goroutine.
type picker struct {
	selection *Selection
	pick      func(*Raw) Choice
	slots     [fieldTableSize]uint8 // by id: place in raw.values, from 1
	wanted    int
	session   int // places of fields 1 and 80
	statement int
	raw       Raw
	asked     Reference
	strings   interner
	since     int64
	sinceSet  bool
}

func newPicker(s *Selection, since time.Time) *picker {
	p := &picker{selection: s, sinceSet: !since.IsZero()}
	if p.sinceSet {
		p.since = since.UnixNano()
	}
	if s == nil {
		return p
	}
	p.pick = s.Picker()
	for i, name := range s.Fields {
		p.slots[fieldID(name)] = uint8(i + 1)
	}
	p.wanted = len(s.Fields)
	p.session, p.statement = p.place(fieldID("session")), p.place(fieldID("statement"))
	return p
}

// place returns where the field is kept, and keeps it where it is not.
func (p *picker) place(id uint16) int {
	if p.slots[id] == 0 {
		p.wanted++
		p.slots[id] = uint8(p.wanted)
	}
	return int(p.slots[id]) - 1
}

// choose says what to make of the record, and proves its fields where it is not to
// be decoded.
func (p *picker) choose(r *rawRecord) Choice {
	early := p.sinceSet && r.nanos < p.since
	if p.pick == nil && !early {
		return Yes
	}
	clear(p.raw.values[:p.wanted])
	if !p.split(r.body) {
		var whole Record
		if whole.decode(r.body) != nil {
			return Yes // decoding says what is wrong
		}
	}
	if early {
		return No
	}
	p.raw.Sequence, p.raw.Time, p.raw.Type, p.raw.body = r.sequence, r.nanos, typeName(r.number), r.body
	return p.pick(&p.raw)
}

// split finds the fields that are looked at. It says whether it is sure that the
// body can be decoded.
func (p *picker) split(body []byte) bool {
	sure := true
	for len(body) >= 6 {
		id := binary.LittleEndian.Uint16(body)
		size := uint64(binary.LittleEndian.Uint32(body[2:]))
		if size > uint64(len(body)-6) {
			return false
		}
		value := body[6 : 6+size]
		body = body[6+size:]
		if id >= fieldTableSize {
			continue
		}
		switch fieldTable[id].kind {
		case kindString:
		case kindUint, kindInt:
			sure = sure && size == 8
		case kindObject:
			_, err := splitObject(value)
			sure = sure && err == nil
		case kindBlob:
			sure = sure && validRef(value)
		default:
			sure = sure && validBytes(id, value)
		}
		if at := p.slots[id]; at != 0 {
			p.raw.values[at-1] = value
		}
	}
	return sure && len(body) == 0
}

// validBytes says whether a field of bytes can be decoded. Those of the chain are
// rare, and are left to who decodes.
func validBytes(id uint16, v []byte) bool {
	switch id {
	case 62, 74, 89:
		return len(v) == 32
	case 70:
		return len(v) == 16
	case 71:
		return len(v) == 8
	case 75:
		_, err := decodeParameters(v)
		return err == nil
	}
	return false
}

// reference makes what Confirm is asked of, of the record chosen last.
func (p *picker) reference(stream string) *Reference {
	p.asked = Reference{
		Stream: stream, Sequence: p.raw.Sequence, Type: p.raw.Type,
		Session: p.raw.Field(p.session), Statement: p.raw.Number(p.statement),
	}
	return &p.asked
}

// confirmed says whether a record that may be wanted is.
func (s *Selection) confirmed(r *Reference) bool {
	return s.Confirm != nil && (s.Awaits == nil || s.Awaits(r.Stream)) && s.Confirm(r)
}
