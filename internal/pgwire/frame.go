package pgwire

import (
	"bytes"
	"encoding/binary"
)

// HeaderSize is the size of a message's header after start-up: one byte of
// type, four of length, which counts itself and the body.
const HeaderSize = 5

// Types of messages that a client sends.
const (
	Bind         = 'B'
	Close        = 'C'
	CopyData     = 'd'
	CopyDone     = 'c'
	CopyFail     = 'f'
	Describe     = 'D'
	Execute      = 'E'
	Flush        = 'H'
	FunctionCall = 'F'
	Parse        = 'P'
	Password     = 'p' // also SASL and GSS responses
	Query        = 'Q'
	Sync         = 'S'
	Terminate    = 'X'
)

// Types of messages that a backend sends. CopyData and CopyDone are both's.
const (
	Authentication       = 'R'
	BackendKeyData       = 'K'
	BindComplete         = '2'
	CloseComplete        = '3'
	CommandComplete      = 'C'
	CopyBothResponse     = 'W'
	CopyInResponse       = 'G'
	CopyOutResponse      = 'H'
	DataRow              = 'D'
	EmptyQueryResponse   = 'I'
	ErrorResponse        = 'E'
	FunctionCallResponse = 'V'
	NegotiateVersion     = 'v'
	NoData               = 'n'
	NoticeResponse       = 'N'
	NotificationResponse = 'A'
	ParameterDescription = 't'
	ParameterStatus      = 'S'
	ParseComplete        = '1'
	PortalSuspended      = 's'
	ReadyForQuery        = 'Z'
	RowDescription       = 'T'
)

// Bounds of postgres.c and libpq.h on the length field of a client's message:
// beyond them the server ends the connection without a word.
const (
	smallMessageLimit = 10_000
	largeMessageLimit = 1<<30 - 2 // PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1
)

// Header reads the header at the start of b. size is that of the whole message,
// header included. ok is false while b is shorter than a header.
func Header(b []byte) (typ byte, size int, ok bool) {
	if len(b) < HeaderSize {
		return 0, 0, false
	}
	return b[0], int(binary.BigEndian.Uint32(b[1:])) + 1, true
}

// ClientLimit returns the largest size, header included, that the server takes
// of a client's message of that type, and whether it knows the type at all
// (SocketBackend in postgres.c).
func ClientLimit(typ byte) (size int, known bool) {
	switch typ {
	case Query, FunctionCall, Parse, Bind, CopyData:
		return largeMessageLimit + 1, true
	case Close, Describe, Execute, Flush, Sync, Terminate, CopyDone, CopyFail:
		return smallMessageLimit + 1, true
	default:
		return 0, false
	}
}

// MinSize is the size of a message without a body.
const MinSize = HeaderSize

// CString cuts the C string at the start of b: what stands before its NUL, and
// what follows. ok is false where there is no NUL.
func CString(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return b[:i], b[i+1:], true
}

// AppendMessage appends a message whose body is the concatenation of parts.
func AppendMessage(dst []byte, typ byte, parts ...[]byte) []byte {
	size := 4
	for _, p := range parts {
		size += len(p)
	}
	dst = append(dst, typ)
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}
