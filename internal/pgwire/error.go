package pgwire

import (
	"encoding/binary"
	"fmt"
)

// Severities of an ErrorResponse, never localised.
const (
	SeverityError = "ERROR"
	SeverityFatal = "FATAL"
)

// SQLSTATEs that the proxy answers with (errcodes.txt).
const (
	ProtocolViolation          = "08P01"
	FeatureNotSupported        = "0A000"
	InvalidAuthorization       = "28000"
	InvalidPassword            = "28P01"
	InvalidParameterValue      = "22023"
	InsufficientPrivilege      = "42501"
	TooManyConnections         = "53300"
	DiskFull                   = "53100"
	OutOfMemory                = "53200"
	ConfigurationLimitExceeded = "53400"
	ProgramLimitExceeded       = "54000"
	AdminShutdown              = "57P01"
	CannotConnectNow           = "57P03"
	IdleSessionTimeout         = "57P05"
	IdleInTransactionTimeout   = "25P03"
	QueryCanceled              = "57014"
	ConnectionFailure          = "08006"
	IOError                    = "58030"
	InternalError              = "XX000"
)

// Error is what a client hears. Every one has a severity, a SQLSTATE and a
// message; those that the proxy made have the incident's id, which stands in
// the log and in the audit record too.
type Error struct {
	Severity string
	Code     string
	Message  string
	Detail   string
	Hint     string
	Incident string
	// Legacy gives it the form that clients of protocol 2.0 read, and older ones.
	Legacy bool
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (SQLSTATE %s)", e.Severity, e.Message, e.Code)
}

// Append appends the ErrorResponse message. Its fields stand in the order of
// send_message_to_frontend in elog.c; the incident id closes the detail.
func (e *Error) Append(dst []byte) []byte {
	if e.Legacy {
		return append(append(dst, ErrorResponse), e.Severity+":  "+e.Message+"\n\x00"...)
	}
	start := len(dst)
	dst = append(dst, ErrorResponse, 0, 0, 0, 0)
	dst = appendField(dst, 'S', e.Severity)
	dst = appendField(dst, 'V', e.Severity)
	dst = appendField(dst, 'C', e.Code)
	dst = appendField(dst, 'M', e.Message)
	dst = appendField(dst, 'D', e.detail())
	dst = appendField(dst, 'H', e.Hint)
	dst = append(dst, 0)
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
	return dst
}

func (e *Error) detail() string {
	switch {
	case e.Incident == "":
		return e.Detail
	case e.Detail == "":
		return "Incident " + e.Incident + "."
	default:
		return e.Detail + " Incident " + e.Incident + "."
	}
}

func appendField(dst []byte, code byte, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, code)
	for i := range len(value) {
		if value[i] != 0 {
			dst = append(dst, value[i])
		}
	}
	return append(dst, 0)
}

// Fields are those of an ErrorResponse or NoticeResponse that the proxy reads.
// They point into the message.
type Fields struct {
	Severity []byte // never localised; the localised one where the server is older than 9.6
	Code     []byte
	Message  []byte
	// Within is set where the server was inside something that the statement called, or
	// the fields are cut off, so that nobody knows: there is a context.
	Within bool
}

// ReadFields reads the body of an ErrorResponse, or as much of it as there is.
// A field that is cut off or missing stays empty: a server may send them in any
// order, or leave out the SQLSTATE.
func ReadFields(body []byte) Fields {
	var f Fields
	for len(body) > 0 && body[0] != 0 {
		code := body[0]
		value, rest, ok := CString(body[1:])
		if !ok {
			value, rest = body[1:], nil
		}
		switch code {
		case 'S':
			if f.Severity == nil {
				f.Severity = value
			}
		case 'V':
			f.Severity = value
		case 'C':
			f.Code = value
		case 'M':
			f.Message = value
		case 'W':
			f.Within = true
		}
		body = rest
	}
	f.Within = f.Within || len(body) == 0 // no terminator
	return f
}

// Fatal reports whether the error ends the connection.
func (f Fields) Fatal() bool {
	return string(f.Severity) == SeverityFatal || string(f.Severity) == "PANIC"
}
