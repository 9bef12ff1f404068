package relay

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// spools tells which messages have to be there whole before they are judged, and are
// too large to be held.
func (m *Machine) spools(typ byte, size int) bool {
	return (typ == pgwire.Query || typ == pgwire.Parse) && m.opt.SpoolOver > 0 && size > m.opt.SpoolOver && size <= m.opt.MaxMessage
}

// Spooled is a Query or Parse message that was kept until it was there whole.
type Spooled struct {
	Type byte
	Size int // header included
	Name []byte
	Rest []byte // what stands behind the text of a Parse: the types of its parameters
	// From and To are where the text stands in the message; of a malformed one, its
	// body.
	From, To int64
	// Fault is the body of a message that the server refuses for the same reason,
	// where this one is malformed.
	Fault []byte

	// What the driver found out. Text is nil where it was not held in memory; the
	// judgement then rests on no setting.
	Text      []byte
	Encoding  statement.Encoding
	Judgement *statement.Judgement // of a malformed message one statement, of the body
}

// ReadSpooled takes a message apart, header included, that is there whole. The error
// is one of reading.
func ReadSpooled(r io.ReaderAt, size int64) (*Spooled, error) {
	var header [pgwire.HeaderSize]byte
	if err := readAll(r, header[:], 0); err != nil {
		return nil, err
	}
	s := &Spooled{Type: header[0], Size: int(size), From: pgwire.HeaderSize, To: size}
	if s.Type == pgwire.Query {
		end, err := findNUL(r, s.From, size)
		switch {
		case err != nil:
			return nil, err
		case end != size-1:
			s.Fault = queryFault(end < size)
		default:
			s.To = end
		}
		return s, nil
	}
	return s, s.cutParse(r)
}

// cutParse does what the function does, and takes no name beyond maxNames.
func (s *Spooled) cutParse(r io.ReaderAt) error {
	size := s.To
	name := make([]byte, min(maxNames, size-s.From))
	if err := readAll(r, name, s.From); err != nil {
		return err
	}
	n := bytes.IndexByte(name, 0)
	if n < 0 {
		s.Fault = []byte("x")
		return nil
	}
	from := s.From + int64(n) + 1
	end, err := findNUL(r, from, size)
	if err != nil {
		return err
	}
	if end == size {
		s.Fault = []byte("x")
		return nil
	}
	rest, most := size-end-1, int64(2+4*0xffff)
	tail := make([]byte, min(rest, 2))
	if err := readAll(r, tail, end+1); err != nil {
		return err
	}
	need := most + 1
	if len(tail) == 2 {
		need = 2 + 4*int64(binary.BigEndian.Uint16(tail))
	}
	switch {
	case rest < need:
		s.Fault = shortParse
	case rest > need:
		s.Fault = longParse
	default:
		s.Name, s.From, s.To = name[:n:n], from, end
		s.Rest = make([]byte, rest)
		return readAll(r, s.Rest, end+1)
	}
	return nil
}

func readAll(r io.ReaderAt, b []byte, at int64) error {
	if n, err := r.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}

// findNUL returns where the first NUL at from or behind it is; end where there is
// none.
func findNUL(r io.ReaderAt, from, end int64) (int64, error) {
	buf := make([]byte, 32<<10)
	for from < end {
		b := buf[:min(int64(len(buf)), end-from)]
		if err := readAll(r, b, from); err != nil {
			return 0, err
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return from + int64(i), nil
		}
		from += int64(len(b))
	}
	return end, nil
}

// Spooled decides on a message that Client asked to spool, once it is there and
// judged. What it adds to out is sent first, its record waited for; then, where
// forward is true, the whole message, as it came, is the driver's to forward, and
// each piece to be told by Forwarded. Client goes on behind it.
func (m *Machine) Spooled(now int64, s *Spooled, out *Output) (forward bool, next Next) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.client.dead:
		return false, Terminated
	case m.uncertain:
		m.client.dead = true
		return false, Adrift
	}
	m.ruling = m.grant.Load()
	m.totals.FromClient += uint64(s.Size)
	m.openCatalog()
	act := m.decide(now, s, out)
	m.closeCatalog()
	if act == replace {
		out.insert(m.replacement)
		return false, More
	}
	m.client.left, m.client.drop, m.filing = s.Size, false, true
	return true, More
}

func (m *Machine) decide(now int64, s *Spooled, out *Output) action {
	j := s.Judgement
	k := spooledKind(s.Type)
	m.trace = statement.Trace{}
	m.cancels.meant = m.cancels.take()
	if s.Fault != nil {
		return m.malformed(now, k, &j.Statements[0], s.Fault, out)
	}
	if s.Text != nil {
		m.asked = s.Encoding
		j = m.trusted(j, s.Text)
	}
	if k == kindQuery {
		return m.query(now, j, s.Size, out)
	}
	return m.parse(now, s.Name, s.Rest, j, out)
}

func spooledKind(typ byte) kind {
	if typ == pgwire.Query {
		return kindQuery
	}
	return kindParse
}

// Forwarded tells that so many bytes of a spooled message went to the backend.
func (m *Machine) Forwarded(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.client.left = max(0, m.client.left-n)
	m.filing = m.client.left > 0
}

// SpoolFailed refuses a message that Client asked to spool, with e: its code, message,
// detail and hint. Of its size, so many bytes have been taken; the rest is passed over
// as it comes.
func (m *Machine) SpoolFailed(now int64, typ byte, size, taken int, e SpoolError, out *Output) Next {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.client.dead:
		return Terminated
	case m.uncertain:
		m.client.dead = true
		return Adrift
	}
	m.ruling = m.grant.Load()
	m.cancels.take()
	m.totals.FromClient += uint64(taken)
	m.exceeds(now, spooledKind(typ), size, pgwire.Error{Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}, out)
	out.insert(m.replacement)
	m.client.left, m.client.drop = size-taken, true
	return More
}

// SpoolError says to the client why a large message could not be kept.
type SpoolError struct{ Code, Message, Detail, Hint string }
