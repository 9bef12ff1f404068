package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// Record is one record as the reader found it.
type Record struct {
	Stream   string // the name of its directory
	Node     string
	Segment  uint64
	Offset   int64 // of its first byte in the segment
	Sequence uint64
	Time     time.Time // UTC
	Type     audit.Type
	Cut      bool // strings of it were cut to a bound

	Session         string
	Principal       audit.Principal
	Source          Source
	Method          string
	Rule, Group     string
	Backend         string
	Database        string
	Role            string
	BackendPID      uint64
	ApplicationName string // claimed
	Reason          string // claimed

	Decision audit.Decision
	Incident string
	Cause    string
	Detail   string
	User     string // claimed
	Count    uint64 // 0 stands for one

	DecisionRule string
	Missing      string
	CurrentRole  string // "" for the session's own
	Doubt        string // role, resolution, or both with a comma between them
	Command      string
	Class        []string
	Tags         []string
	Objects      []Object
	Resolution   string // "", resolved or syntactic
	Resolved     []Resolved
	LeftOut      uint64 // how many of those are not on record
	Text         string // "" where TextBlob names it, up to LoadText
	TextDigest   string // keyed, in hexadecimal; "" where there is no text
	TextBlob     *audit.BlobRef
	Form         string
	Name         string
	Fingerprint  uint64
	Index, Of    uint64
	Transaction  uint64
	Protocol     string
	TraceID      string      // claimed; 32 hexadecimal digits
	SpanID       string      // claimed; 16 hexadecimal digits
	Parameters   *Parameters // of a Bind or FunctionCall; nil where none are on record

	Statement     uint64 // sequence of the statement's record, in the same stream
	Result        audit.Result
	Fate          audit.Fate
	SQLSTATE      string
	Message       string
	MessageLength uint64 // of the whole message, where Message was cut
	Rows          int64  // -1 where there is none
	Bytes         int64  // -1 where there is none
	Duration      time.Duration
	CopyDigest    string // 64 hexadecimal digits

	Digest string
	Change string

	Reader *audit.Reader // of audit.read
	Filter string        // claimed

	Checkpoint *Checkpoint // of a checkpoint
	Earlier    []Earlier   // of journal.opened: the streams that this one follows

	Unknown []Field // what a newer version wrote, in its order

	// TextFault says why LoadText could not read the text, "" where it could.
	TextFault string

	journal string       // the directory, where blobs are found
	sealed  *sealedBlobs // of an encrypted segment: finds them instead
	length  int64        // of the text before Shortened
	strings *interner    // while it is decoded; may be nil
}

// Source is where a client came from, as recorded.
type Source struct {
	Address, Via string // address:port
	TLS, Cipher  string
}

// Object is a thing in the database that a statement names.
type Object struct {
	Schema, Name, Kind string
	Use                string // read, written, created, altered, dropped, executed
}

// Resolved is an object of the catalog: what a name stands for, or what stands behind it.
type Resolved struct {
	Object
	Through string // name, view, rule, partition, parent
	Facts   string // of a function
}

// Field is a field that this version does not know.
type Field struct {
	ID    uint16
	Value []byte
}

var errFields = errors.New("the fields overrun the record")

// decode takes the fields out of a record's body.
func (r *Record) decode(body []byte) error {
	r.Rows, r.Bytes = -1, -1
	for len(body) > 0 {
		if len(body) < 6 {
			return errFields
		}
		id := binary.LittleEndian.Uint16(body)
		size := uint64(binary.LittleEndian.Uint32(body[2:]))
		body = body[6:]
		if size > uint64(len(body)) {
			return errFields
		}
		if err := r.field(id, body[:size]); err != nil {
			return err
		}
		body = body[size:]
	}
	return nil
}

func (r *Record) field(id uint16, value []byte) error {
	var known knownField
	if id < fieldTableSize {
		known = fieldTable[id]
	}
	if known.name == "" {
		r.Unknown = append(r.Unknown, Field{ID: id, Value: append([]byte(nil), value...)})
		return nil
	}
	switch known.kind {
	case kindObject:
		o, err := r.object(value)
		if err != nil {
			return err
		}
		r.Objects = append(r.Objects, o)
	case kindResolved:
		o, err := r.resolved(value)
		if err != nil {
			return err
		}
		r.Resolved = append(r.Resolved, o)
	case kindUint, kindInt:
		if len(value) != 8 {
			return fmt.Errorf("field %s has %d bytes instead of 8", known.name, len(value))
		}
		r.setNumber(id, binary.LittleEndian.Uint64(value))
	case kindBytes:
		return r.setBytes(id, value)
	case kindBlob:
		return r.setBlob(id, value)
	case kindString:
		if to := r.stringField(id); to != nil {
			*to = r.strings.text(id, value)
			return nil
		}
		r.setName(id, r.strings.text(id, value))
	}
	return nil
}

func (r *Record) stringField(id uint16) *string {
	switch id {
	case 1:
		return &r.Session
	case 2:
		return &r.Principal.Account
	case 3:
		return &r.Principal.UPN
	case 4:
		return &r.Principal.SID
	case 5:
		return &r.Principal.GUID
	case 6:
		return &r.Principal.DN
	case 7:
		return &r.Principal.Kind
	case 8:
		return &r.Principal.Owner
	case 9:
		return &r.Source.Address
	case 10:
		return &r.Source.Via
	case 11:
		return &r.Source.TLS
	case 12:
		return &r.Source.Cipher
	case 13:
		return &r.Method
	case 14:
		return &r.Rule
	case 15:
		return &r.Group
	case 16:
		return &r.Backend
	case 17:
		return &r.Database
	case 18:
		return &r.Role
	case 20:
		return &r.ApplicationName
	case 21:
		return &r.Reason
	}
	return r.eventString(id)
}

func (r *Record) eventString(id uint16) *string {
	switch id {
	case 72:
		return &r.parameters().Form
	case 33:
		return &r.Incident
	case 34:
		return &r.Cause
	case 35:
		return &r.Detail
	case 36:
		return &r.User
	case 48:
		return &r.DecisionRule
	case 49:
		return &r.Missing
	case 50:
		return &r.Command
	case 54:
		return &r.Text
	case 55:
		return &r.Form
	case 56:
		return &r.Name
	case 61:
		return &r.Protocol
	case 64:
		return &r.Resolution
	case 77:
		return &r.CurrentRole
	case 78:
		return &r.Doubt
	case 83:
		return &r.SQLSTATE
	case 84:
		return &r.Message
	case 117:
		return &r.checkpoint().Key
	case 96:
		return &r.Digest
	case 97:
		return &r.Change
	case 105:
		return &r.reader().User
	case 107:
		return &r.reader().Login
	case 109:
		return &r.Filter
	}
	return nil
}

// setName sets the strings that have types of their own.
func (r *Record) setName(id uint16, v string) {
	switch id {
	case 32:
		r.Decision = audit.Decision(v)
	case 81:
		r.Result = audit.Result(v)
	case 82:
		r.Fate = audit.Fate(v)
	}
}

func (r *Record) setNumber(id uint16, v uint64) {
	switch id {
	case 19:
		r.BackendPID = v
	case 37:
		r.Count = v
	case 73:
		r.parameters().Count = v
	case 51:
		r.Class = r.strings.names(0, v, classBits)
	case 52:
		r.Tags = r.strings.names(1, v, tagBits)
	case 57:
		r.Fingerprint = v
	case 58:
		r.Index = v
	case 59:
		r.Of = v
	case 60:
		r.Transaction = v
	case 66:
		r.LeftOut = v
	case 80:
		r.Statement = v
	case 85:
		r.MessageLength = v
	case 86:
		r.Rows = int64(v)
	case 87:
		r.Bytes = int64(v)
	case 88:
		r.Duration = time.Duration(v)
	case 106:
		r.reader().UID = uint32(v)
	case 108:
		r.reader().PID = uint32(v)
	case 112:
		r.checkpoint().Segment = v
	case 113:
		r.checkpoint().Offset = v
	case 114:
		r.checkpoint().Sequence = v
	}
}

func (r *Record) reader() *audit.Reader {
	if r.Reader == nil {
		r.Reader = &audit.Reader{}
	}
	return r.Reader
}

// bitNames names the bits of a set; one that has no name is shown by its number.
func bitNames(set uint64, names []string) []string {
	var out []string
	for i := range 64 {
		switch {
		case set&(1<<i) == 0:
		case i < len(names):
			out = append(out, names[i])
		default:
			out = append(out, "bit_"+strconv.Itoa(i))
		}
	}
	return out
}

var errObject = errors.New("an object overruns its field")

// rawObject is an object whose parts are still in the record.
type rawObject struct {
	use                byte
	kind, schema, name []byte
}

func splitObject(b []byte) (o rawObject, err error) {
	if len(b) < 3 {
		return o, errObject
	}
	o.use = b[0]
	size := int(binary.LittleEndian.Uint16(b[1:]))
	b = b[3:]
	if len(b) < size+4 {
		return o, errObject
	}
	o.kind = b[:size]
	b = b[size:]
	schema := uint64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if uint64(len(b)) < schema {
		return o, errObject
	}
	o.schema, o.name = b[:schema], b[schema:]
	return o, nil
}

func (r *Record) object(value []byte) (Object, error) {
	raw, err := splitObject(value)
	if err != nil {
		return Object{}, err
	}
	o := Object{
		Kind: r.strings.text(53, raw.kind), Schema: r.strings.text(53, raw.schema), Name: r.strings.text(53, raw.name),
	}
	if int(raw.use) < len(useNames) {
		o.Use = useNames[raw.use]
	} else {
		o.Use = "use_" + strconv.Itoa(int(raw.use))
	}
	return o, nil
}

// splitResolved returns how the object is meant, what is known of it, and the object.
func splitResolved(b []byte) (through byte, facts, object []byte, err error) {
	if len(b) < 3 || len(b) < 3+int(binary.LittleEndian.Uint16(b[1:])) {
		return 0, nil, nil, errObject
	}
	size := int(binary.LittleEndian.Uint16(b[1:]))
	return b[0], b[3 : 3+size], b[3+size:], nil
}

func (r *Record) resolved(value []byte) (Resolved, error) {
	through, facts, object, err := splitResolved(value)
	if err != nil {
		return Resolved{}, err
	}
	o, err := r.object(object)
	if err != nil {
		return Resolved{}, err
	}
	res := Resolved{Object: o, Facts: r.strings.text(65, facts)}
	if int(through) < len(throughNames) {
		res.Through = throughNames[through]
	} else {
		res.Through = "through_" + strconv.Itoa(int(through))
	}
	return res, nil
}

func typeName(number uint16) audit.Type {
	if int(number) < len(typeTable) && typeTable[number] != "" {
		return audit.Type(typeTable[number])
	}
	return audit.Type("type_" + strconv.Itoa(int(number)))
}
