package parameters

import (
	"encoding/binary"
	"hash"
	"io"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// Options are what a Reader is made of.
type Options struct {
	Store audit.Store
	// Spool makes a file for what is too large for memory; nil for one in the
	// system's directory for temporary files.
	Spool func() (Spool, error)

	patterns *statement.Patterns
}

// Spool is a file without a name. Close gives its room back.
type Spool interface {
	io.ReadWriteSeeker
	io.Closer
}

// Reader reads the parameters of one message after the other. It is used by one
// goroutine at a time, and keeps no reference to the bytes it is given.
type Reader struct {
	opt  Options
	hash hash.Hash
	message
	number  [4]byte
	have    int    // bytes of number
	formats []byte // codes of parameters, as the message has them
	values  values
}

// message is where the reader stands in one.
type message struct {
	call  bool
	full  bool
	types []uint32
	stage stage
	left  int // numbers, or bytes, to come in this stage
	count int
	at    int // of the parameter at hand
}

// stage is a part of a message, in their order (protocol-message-formats, Bind
// behind its names, FunctionCall behind its OID).
type stage uint8

const (
	formatCount stage = iota
	formatCodes
	valueCount
	valueLength
	valueBytes
	resultCount
	resultCodes
	over
	malformed
)

// New makes a reader. It holds little memory until it is used.
func New(opt Options) *Reader {
	r := &Reader{opt: opt}
	r.values.opt = &r.opt
	return r
}

// Search has the values of the messages that begin from now on searched: one that
// matches is not shown.
func (r *Reader) Search(p *statement.Patterns) { r.opt.patterns = p }

// digestDomain begins what the digest is of (FORMAT.md, section 14).
const digestDomain = "pgcustos parameters 1\n"

// Begin begins a message: a Bind's part behind its two names or, for a call, a
// FunctionCall's behind the OID. types are the OIDs of the parameters' types as far
// as they are known, and are not changed before End. With full the values are kept
// as text, and not the digest alone.
func (r *Reader) Begin(call, full bool, types []uint32) {
	r.message = message{call: call, full: full, types: types}
	r.have, r.formats = 0, r.formats[:0]
	if r.hash == nil {
		r.hash = r.opt.Store.Keyed()
	} else {
		r.hash.Reset()
	}
	r.sum([]byte(digestDomain))
	r.values.reset()
}

// Write takes the next bytes of the message.
func (r *Reader) Write(b []byte) {
	for len(b) > 0 && r.stage != malformed {
		switch r.stage {
		case valueBytes:
			n := min(r.left, len(b))
			r.sum(b[:n])
			if r.full {
				r.values.write(b[:n])
			}
			b = b[n:]
			if r.left -= n; r.left == 0 {
				r.endValue()
			}
		case over:
			r.stage = malformed // bytes behind the end
		default:
			size := 2
			if r.stage == valueLength {
				size = 4
			}
			n := copy(r.number[r.have:size], b)
			b = b[n:]
			if r.have += n; r.have == size {
				r.have = 0
				r.numeral()
			}
		}
	}
}

// numeral takes a number that has come whole.
func (r *Reader) numeral() {
	short := int(binary.BigEndian.Uint16(r.number[:]))
	switch r.stage {
	case formatCount:
		r.enter(formatCodes, short, valueCount)
	case formatCodes:
		if short > 1 { // unsupported format code
			r.stage = malformed
			return
		}
		r.formats = append(r.formats, byte(short))
		r.enter(formatCodes, r.left-1, valueCount)
	case valueCount:
		r.beginValues(short)
	case valueLength:
		r.beginValue(int(int32(binary.BigEndian.Uint32(r.number[:]))))
	case resultCount:
		if r.call { // one code, and not a count of them
			r.stage = over
			return
		}
		r.enter(resultCodes, short, over)
	case resultCodes:
		r.enter(resultCodes, r.left-1, over)
	default:
	}
}

// enter goes to a stage of so many parts, or behind it where there are none.
func (r *Reader) enter(s stage, parts int, behind stage) {
	r.stage, r.left = s, parts
	if parts == 0 {
		r.stage = behind
	}
}

func (r *Reader) beginValues(count int) {
	if len(r.formats) > 1 && len(r.formats) != count {
		r.stage = malformed
		return
	}
	r.count = count
	r.sum(r.number[:2])
	r.enter(valueLength, count, resultCount)
}

// beginValue begins the parameter at hand, of so many bytes; -1 is NULL.
func (r *Reader) beginValue(size int) {
	if size < -1 {
		r.stage = malformed
		return
	}
	var head [10]byte
	binary.BigEndian.PutUint32(head[:], r.oid())
	binary.BigEndian.PutUint16(head[4:], uint16(r.format()))
	binary.BigEndian.PutUint32(head[6:], uint32(int32(size)))
	r.sum(head[:])
	if r.full {
		r.values.begin(r.oid(), r.format(), size)
	}
	if size > 0 {
		r.stage, r.left = valueBytes, size
		return
	}
	r.endValue()
}

func (r *Reader) endValue() {
	if r.full {
		r.values.end()
	}
	r.at++
	r.enter(valueLength, r.count-r.at, resultCount)
}

// oid is that of the type of the parameter at hand, 0 where it is not known.
func (r *Reader) oid() uint32 {
	if r.at < len(r.types) {
		return r.types[r.at]
	}
	return 0
}

// format is the format code of the parameter at hand: 0 text, 1 binary.
func (r *Reader) format() byte {
	switch len(r.formats) {
	case 0:
		return 0
	case 1:
		return r.formats[0]
	}
	return r.formats[r.at]
}

func (r *Reader) sum(b []byte) { _, _ = r.hash.Write(b) } // a hash.Hash never fails

// Close gives up the message at hand, and what it put on a disk. The reader may be
// used again.
func (r *Reader) Close() {
	r.message = message{stage: malformed}
	r.values.reset()
}

// keptFormats bounds the memory that a reader keeps from one message to the next.
const keptFormats = 1 << 10

// End ends the message. redact keeps the values to itself, and leaves the digest;
// inline says whether values of a moderate size may stand in memory, and in the
// record, or go to a blob whatever their size. An error means that what the rule
// asks for could not be kept: whoever executes this must refuse it.
func (r *Reader) End(redact, inline bool) (*audit.Parameters, error) {
	defer r.values.reset()
	if cap(r.formats) > keptFormats {
		defer func() { r.formats = nil }()
	}
	p := &audit.Parameters{Form: audit.ParametersDigest, Count: r.count}
	if r.stage != over {
		p.Form = audit.ParametersMalformed
		return p, nil
	}
	r.hash.Sum(p.Digest[:0])
	switch {
	case !r.full:
	case redact || r.values.secret:
		p.Form = audit.ParametersRedacted
	default:
		p.Form = audit.ParametersFull
		return p, r.values.settle(p, inline)
	}
	return p, nil
}
