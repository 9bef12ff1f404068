package statement

import (
	"strings"
	"sync"
	"unsafe"
)

// template is the judgement of all texts of one shape: that of the first of them,
// with the places of its statements.
type template struct {
	judgement *Judgement
	parts     []part // one per statement; none where the only one is the whole text
}

// part is where a statement stands in a text of the shape.
type part struct{ start, end place }

// place is a byte of a text: behind so many holes and so many bytes that are no
// holes.
type place struct{ holes, bytes int }

// newTemplate returns the template of a text's shape, or false where a statement
// begins or ends inside of a hole.
func newTemplate(text string, j *Judgement, holes []Hole) (*template, bool) {
	t := &template{judgement: j}
	if len(j.Statements) == 1 && j.Statements[0].Text == text {
		return t, true
	}
	from := 0
	for i := range j.Statements {
		own := j.Statements[i].Text
		at := strings.Index(text[from:], own)
		if at < 0 {
			return nil, false
		}
		start, ok := placeOf(from+at, holes)
		from += at + len(own)
		end, ok2 := placeOf(from, holes)
		if !ok || !ok2 {
			return nil, false
		}
		t.parts = append(t.parts, part{start, end})
	}
	return t, true
}

func placeOf(offset int, holes []Hole) (place, bool) {
	p := place{bytes: offset}
	for _, h := range holes {
		if h.End > offset {
			return p, h.Start >= offset
		}
		p.holes++
		p.bytes -= h.End - h.Start
	}
	return p, true
}

// in returns where a place is in a text of the shape.
func (p place) in(holes []Hole) int {
	n := p.bytes
	for _, h := range holes[:p.holes] {
		n += h.End - h.Start
	}
	return n
}

// fill returns the judgement of a text of the shape. It shares everything with
// the template's but the texts, and takes its memory from m.
func (t *template) fill(m *arena, text []byte, holes []Hole) *Judgement {
	j := m.judgement()
	*j = *t.judgement
	if len(j.Statements) == 0 {
		return j // nothing but comments
	}
	j.Statements = m.statements(len(t.judgement.Statements))
	copy(j.Statements, t.judgement.Statements)
	for i := range j.Statements {
		s := &j.Statements[i]
		s.Digest, s.Searched = [32]byte{}, nil // they were of the first one's text
	}
	own := m.text(text)
	if len(t.parts) == 0 {
		j.Statements[0].Text = own
		return j
	}
	for i, p := range t.parts {
		j.Statements[i].Text = own[p.start.in(holes):p.end.in(holes)]
	}
	return j
}

func (t *template) footprint() int64 {
	return int64(unsafe.Sizeof(*t)) + int64(len(t.parts))*int64(unsafe.Sizeof(part{}))
}

// arena hands out memory in pieces of larger blocks, so that a hit allocates
// nothing most of the time. A piece is never used twice: who holds one keeps its
// block, some KB at most.
type arena struct {
	judgements []Judgement
	pieces     []Statement
	bytes      []byte
}

// The sizes of an arena's blocks.
const (
	arenaJudgements = 32
	arenaStatements = 32
	arenaBytes      = 4 << 10
)

func (a *arena) judgement() *Judgement {
	if len(a.judgements) == 0 {
		a.judgements = make([]Judgement, arenaJudgements)
	}
	j := &a.judgements[0]
	a.judgements = a.judgements[1:]
	return j
}

func (a *arena) statements(n int) []Statement {
	if n > arenaStatements/4 {
		return make([]Statement, n)
	}
	if len(a.pieces) < n {
		a.pieces = make([]Statement, arenaStatements)
	}
	s := a.pieces[:n:n]
	a.pieces = a.pieces[n:]
	return s
}

func (a *arena) text(text []byte) string {
	if len(text) > arenaBytes/4 {
		return string(text)
	}
	if len(a.bytes) < len(text) {
		a.bytes = make([]byte, arenaBytes)
	}
	n := copy(a.bytes, text)
	s := unsafe.String(unsafe.SliceData(a.bytes), n) // n > 0: a text with holes
	a.bytes = a.bytes[n:]
	return s
}

// masker is what it takes to look a text up by its shape. The cache has several,
// so that sessions rarely wait for one.
type masker struct {
	mu    sync.Mutex
	shape shape
	arena arena
	_     [64]byte // away from the next one's lock
}
