package parameters

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

const (
	// gathered is the longest value, in bytes, that is held to be decoded; a longer
	// one goes on as it comes.
	gathered = 16 << 10
	// overlap is how much of what went before a piece is looked at again for a
	// secret that the pieces could part; wide where there are patterns.
	overlap = 256
	wide    = statement.PatternReach
)

// values puts values down as text: in memory as long as they are few, then in a
// spool.
type values struct {
	opt    *Options
	secret bool // a value gives one away
	err    error

	// The value at hand.
	oid    uint32
	format byte
	gather bool
	hex    bool
	held   []byte // what has come of a value that is gathered; of others, the last of it
	skip   int    // bytes of it that are not shown

	out   []byte // entries that are not in the spool yet
	spool Spool
}

func (v *values) reset() {
	if v.spool != nil {
		_ = v.spool.Close()
	}
	out, held := v.out[:0], v.held[:0]
	if cap(out) > audit.InlineText {
		out = nil
	}
	clear(held[:cap(held)]) // a value may be a secret
	*v = values{opt: v.opt, out: out, held: held}
}

// begin begins a value of so many bytes, -1 for NULL.
func (v *values) begin(oid uint32, format byte, size int) {
	v.oid, v.format, v.held, v.skip = oid, format, v.held[:0], 0
	v.gather = size >= 0 && size <= gathered
	switch {
	case size < 0:
		v.entry(audit.ParameterNull, 0)
	case !v.gather:
		v.beginLong(size)
	}
}

// beginLong begins a value that goes on as it comes.
func (v *values) beginLong(size int) {
	switch kind := streams(v.oid, v.format); kind {
	case asText:
		v.hex = false
		v.entry(audit.ParameterText, uint64(size))
	case asJSONB:
		v.hex, v.skip = false, 1
		v.entry(audit.ParameterText, uint64(size-1))
	default:
		v.hex = true
		told := audit.ParameterUndecoded
		if kind == asBytea {
			told = audit.ParameterText
		}
		v.entry(told, 2+2*uint64(size))
		v.put([]byte(`\x`))
	}
}

func (v *values) write(b []byte) {
	if v.gather {
		v.held = append(v.held, b...)
		return
	}
	n := min(v.skip, len(b))
	v.skip -= n
	b = b[n:]
	v.held = append(v.held, b...)
	again := overlap
	if v.opt.patterns != nil {
		again = wide
	}
	v.secret = v.secret || v.tells(v.held)
	v.held = append(v.held[:0], v.held[max(0, len(v.held)-again):]...)
	if !v.hex {
		v.put(b)
		return
	}
	var room [4 << 10]byte
	for len(b) > 0 {
		n := min(len(b), len(room)/2)
		v.put(room[:hex.Encode(room[:], b[:n])])
		b = b[n:]
	}
}

func (v *values) end() {
	if !v.gather {
		return
	}
	text, kind := decode(v.oid, v.format, v.held)
	if v.tells(v.held) || v.tells(text) {
		text, kind = nil, audit.ParameterRedacted
	}
	v.entry(kind, uint64(len(text)))
	v.put(text)
	v.gather = false
}

// tells reports whether something is not to be recorded.
func (v *values) tells(b []byte) bool { return statement.Telling(b) || v.opt.patterns.Match(b) }

// entry puts the head of a value down.
func (v *values) entry(kind audit.ParameterKind, size uint64) {
	var head [13]byte
	head[0] = byte(kind)
	binary.LittleEndian.PutUint32(head[1:], v.oid)
	binary.LittleEndian.PutUint64(head[5:], size)
	v.put(head[:])
}

// put appends to what is there.
func (v *values) put(b []byte) {
	if v.err != nil {
		return
	}
	if len(v.out)+len(b) <= audit.InlineText {
		v.out = append(v.out, b...)
		return
	}
	v.flush()
	if len(b) > audit.InlineText {
		v.spooled(b)
		return
	}
	v.out = append(v.out, b...)
}

// flush moves what is in memory to the spool.
func (v *values) flush() {
	v.spooled(v.out)
	v.out = v.out[:0]
}

func (v *values) spooled(b []byte) {
	if v.spool == nil && v.err == nil {
		v.spool, v.err = v.opt.spool()
	}
	if v.err == nil {
		_, v.err = v.spool.Write(b)
	}
	if v.err != nil {
		v.err = spoolError(v.err)
	}
}

// spoolError tells a full disk from a broken one: the first passes.
func spoolError(err error) error {
	kind := audit.ErrBroken
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		kind = audit.ErrFull
	}
	return fmt.Errorf("%w: the parameters: %w", kind, err)
}

// settle hands what was put down to p.
func (v *values) settle(p *audit.Parameters, inline bool) error {
	if v.spool == nil && v.err == nil && (inline || len(v.out) == 0) {
		p.Values = append([]byte(nil), v.out...)
		return nil
	}
	if v.spool != nil {
		v.flush()
	}
	if v.err != nil {
		return v.err
	}
	w, err := v.opt.Store.Blob()
	if err != nil {
		return err
	}
	defer w.Discard()
	if err := v.copy(w); err != nil {
		return err
	}
	p.Blob, err = w.Commit()
	return err
}

func (v *values) copy(w io.Writer) error {
	if v.spool == nil {
		_, err := w.Write(v.out)
		return err
	}
	if _, err := v.spool.Seek(0, io.SeekStart); err != nil {
		return spoolError(err)
	}
	_, err := io.Copy(w, v.spool)
	return err
}

func (o *Options) spool() (Spool, error) {
	if o.Spool != nil {
		return o.Spool()
	}
	return TemporaryFile("")
}

// TemporaryFile makes a spool in a directory, "" for the system's own. No name is
// left of it: what a crash leaves behind is gone with the process.
func TemporaryFile(dir string) (Spool, error) {
	f, err := os.CreateTemp(dir, "parameters-*.tmp")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
