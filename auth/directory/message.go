package directory

import (
	"errors"
	"io"
)

// The tags of what is sent and read here (RFC 4511, appendix B). An operation's is
// [APPLICATION n].
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctets      = 0x04
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
	tagSet         = 0x31
	tagPassword    = 0x80 // AuthenticationChoice, simple [0]
	tagRequestName = 0x80 // of an ExtendedRequest [0]

	opBind             = 0x60
	opBindResponse     = 0x61
	opSearch           = 0x63
	opSearchEntry      = 0x64
	opSearchDone       = 0x65
	opSearchReference  = 0x73
	opExtended         = 0x77
	opExtendedResponse = 0x78
)

// errMessage says that what came is no message of LDAP, or not of this operation.
var errMessage = errors.New("what the controller sent is no answer")

// element appends an element around what content appends. All lengths take four
// bytes, as Active Directory writes its own.
func element(dst []byte, tag byte, content func([]byte) []byte) []byte {
	at := len(dst) + 2
	dst = content(append(dst, tag, 0x84, 0, 0, 0, 0))
	n := len(dst) - at - 4
	dst[at], dst[at+1], dst[at+2], dst[at+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return dst
}

// octetString appends a string under a tag.
func octetString(dst []byte, tag byte, s string) []byte {
	return element(dst, tag, func(b []byte) []byte { return append(b, s...) })
}

// number appends a number that is not negative, in as few bytes as it takes.
func number(dst []byte, tag byte, n int32) []byte {
	size := 1
	for size < 4 && n>>(8*size-1) != 0 {
		size++
	}
	dst = append(dst, tag, byte(size))
	for size--; size >= 0; size-- {
		dst = append(dst, byte(n>>(8*size)))
	}
	return dst
}

// readElement takes the first element off b. Only lengths that are given are understood,
// as LDAP has them (RFC 4511 section 5.1).
func readElement(b []byte) (tag byte, content, rest []byte, err error) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, nil, nil, errMessage
	}
	tag = b[0]
	n, b := int(b[1]), b[2:]
	if n >= 0x80 {
		octets := n - 0x80
		if octets == 0 || octets > 4 || octets > len(b) {
			return 0, nil, nil, errMessage
		}
		n = 0
		for _, c := range b[:octets] {
			n = n<<8 | int(c)
		}
		b = b[octets:]
	}
	if n < 0 || n > len(b) {
		return 0, nil, nil, errMessage
	}
	return tag, b[:n:n], b[n:], nil
}

// expect is readElement of an element that has to have that tag.
func expect(b []byte, want byte) (content, rest []byte, err error) {
	tag, content, rest, err := readElement(b)
	if err == nil && tag != want {
		err = errMessage
	}
	return content, rest, err
}

// readNumber is expect of a number from 0 to 2³¹-1.
func readNumber(b []byte, want byte) (n int32, rest []byte, err error) {
	content, rest, err := expect(b, want)
	if err != nil || len(content) == 0 || len(content) > 4 || content[0] >= 0x80 {
		return 0, nil, errMessage
	}
	for _, c := range content {
		n = n<<8 | int32(c)
	}
	return n, rest, nil
}

// readMessage reads the next LDAPMessage: its number, and its operation. What it returns is
// the caller's. It reads no byte more than the message has, and for no longer one than most.
func readMessage(r io.Reader, most int64) (id int32, op byte, content []byte, err error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, 0, nil, err
	}
	size := int64(head[1])
	if head[0] != tagSequence {
		return 0, 0, nil, errMessage
	}
	if size >= 0x80 {
		octets := size - 0x80
		if octets == 0 || octets > 4 {
			return 0, 0, nil, errMessage
		}
		if _, err := io.ReadFull(r, head[2:2+octets]); err != nil {
			return 0, 0, nil, err
		}
		size = 0
		for _, c := range head[2 : 2+octets] {
			size = size<<8 | int64(c)
		}
	}
	if size > most {
		return 0, 0, nil, errTooLong
	}
	body, err := readBody(r, int(size))
	if err != nil {
		return 0, 0, nil, err
	}
	if id, body, err = readNumber(body, tagInteger); err != nil {
		return 0, 0, nil, err
	}
	op, content, _, err = readElement(body) // controls may follow
	return id, op, content, err
}

// readBody reads size bytes, and allocates no more than twice what has come.
func readBody(r io.Reader, size int) ([]byte, error) {
	const first = 16 << 10
	body := make([]byte, min(size, first))
	for have := 0; ; {
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return nil, err
		}
		if have = len(body); have == size {
			return body, nil
		}
		more := make([]byte, min(size, 2*have))
		copy(more, body)
		body = more
	}
}
