package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// frame is one message of the backend, or a word on how the connection ended.
type frame struct {
	typ  byte
	body []byte
}

// backendTypes are the messages of a backend by name.
var backendTypes = map[string]byte{
	"Authentication": 'R', "BackendKeyData": 'K', "BindComplete": '2', "CloseComplete": '3', "CommandComplete": 'C', "CopyBothResponse": 'W', "CopyData": 'd',
	"CopyDone": 'c', "CopyInResponse": 'G', "CopyOutResponse": 'H', "DataRow": 'D', "EmptyQueryResponse": 'I',
	"ErrorResponse": 'E', "FunctionCallResponse": 'V', "NegotiateProtocolVersion": 'v', "NoData": 'n', "NoticeResponse": 'N',
	"NotificationResponse": 'A', "ParameterDescription": 't', "ParameterStatus": 'S', "ParseComplete": '1',
	"PortalSuspended": 's', "ReadyForQuery": 'Z', "RowDescription": 'T',
}

var typeNames = func() map[byte]string {
	names := make(map[byte]string, len(backendTypes))
	for name, typ := range backendTypes {
		names[typ] = name
	}
	return names
}()

// cut takes whole messages off the front of b.
func cut(b []byte) (frames []frame, rest []byte) {
	for {
		typ, size, ok := pgwire.Header(b)
		if !ok || size < pgwire.MinSize || size > len(b) {
			return frames, b
		}
		frames = append(frames, frame{typ, bytes.Clone(b[pgwire.HeaderSize:size])})
		b = b[size:]
	}
}

// String says what a frame is, in one line.
func (f frame) String() string {
	name := typeNames[f.typ]
	if name == "" {
		name = fmt.Sprintf("message %q", f.typ)
	}
	switch f.typ {
	case pgwire.ErrorResponse, pgwire.NoticeResponse:
		return name + f.fields()
	case pgwire.RowDescription:
		return name + f.columns()
	case pgwire.DataRow:
		return name + f.row()
	default:
		return strings.TrimRight(fmt.Sprintf("%s %s", name, short(f.body)), " ")
	}
}

// short quotes what is not too long to be read.
func short(b []byte) string {
	const most = 120
	switch {
	case len(b) == 0:
		return ""
	case len(b) > most:
		return fmt.Sprintf("%q... %d bytes", b[:most], len(b))
	default:
		return fmt.Sprintf("%q", b)
	}
}

func (f frame) fields() string {
	var s strings.Builder
	for b := f.body; len(b) > 1; {
		value, rest, _ := pgwire.CString(b[1:])
		fmt.Fprintf(&s, " %c=%q", b[0], value)
		b = rest
	}
	return s.String()
}

// fixed is the size of a column's description behind its name: the table's OID,
// the column's number, the type's OID, size and modifier, the format.
const fixed = 4 + 2 + 4 + 2 + 4 + 2

func (f frame) columns() string {
	var s strings.Builder
	for b := f.body[min(2, len(f.body)):]; len(b) > 0; {
		name, rest, _ := pgwire.CString(b)
		if len(rest) < fixed {
			return s.String() + " cut off"
		}
		fmt.Fprintf(&s, " %s(table %d.%d type %d size %d mod %d format %d)", name,
			binary.BigEndian.Uint32(rest), binary.BigEndian.Uint16(rest[4:]), binary.BigEndian.Uint32(rest[6:]),
			int16(binary.BigEndian.Uint16(rest[10:])), int32(binary.BigEndian.Uint32(rest[12:])), binary.BigEndian.Uint16(rest[16:]))
		b = rest[fixed:]
	}
	return s.String()
}

func (f frame) row() string {
	var s strings.Builder
	for b := f.body[min(2, len(f.body)):]; len(b) >= 4; {
		n := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if n < 0 {
			s.WriteString(" NULL")
			continue
		}
		n = min(n, int32(len(b)))
		s.WriteString(" " + short(b[:n]))
		b = b[n:]
	}
	return s.String()
}

// shape is the type of a frame, the transaction's status where it is a
// ReadyForQuery, and the SQLSTATE of an error where that is asked for.
func (f frame) shape(code bool) string {
	line := typeNames[f.typ]
	if f.typ == pgwire.ReadyForQuery {
		line += " " + string(f.body)
	}
	if c, ok := f.failure(); ok && code {
		line += " " + c
	}
	return line
}

// failure tells an ErrorResponse, and its SQLSTATE.
func (f frame) failure() (code string, ok bool) {
	if f.typ != pgwire.ErrorResponse {
		return "", false
	}
	return string(pgwire.ReadFields(f.body).Code), true
}

var digits = regexp.MustCompile(`[0-9]+`)

// masked returns the frame without what differs between any two runs.
func (f frame) masked(mask map[string]bool) frame {
	b := f.body
	switch {
	case f.typ == pgwire.NotificationResponse && len(b) >= 4:
		b = append([]byte{0, 0, 0, 0}, b[4:]...) // the process id of who notified
	case f.typ == pgwire.RowDescription && mask["table-oid"]:
		b = withoutTables(b)
	case f.typ == pgwire.DataRow && mask["rows"]:
		b = nil
	case (f.typ == pgwire.ErrorResponse || f.typ == pgwire.NoticeResponse) && mask["numbers"]:
		b = withoutNumbers(b)
	}
	return frame{f.typ, b}
}

func withoutTables(body []byte) []byte {
	out := bytes.Clone(body)
	for b := out[min(2, len(out)):]; len(b) > 0; {
		_, rest, _ := pgwire.CString(b)
		if len(rest) < fixed {
			break
		}
		clear(rest[:4])
		b = rest[fixed:]
	}
	return out
}

// withoutNumbers leaves the numbers out of message and detail.
func withoutNumbers(body []byte) []byte {
	var out []byte
	for b := body; len(b) > 1; {
		value, rest, _ := pgwire.CString(b[1:])
		if b[0] == 'M' || b[0] == 'D' {
			value = digits.ReplaceAll(value, []byte("#"))
		}
		out = append(append(append(out, b[0]), value...), 0)
		b = rest
	}
	return append(out, 0)
}
