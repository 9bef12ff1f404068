package relay

import (
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// nameSize is NAMEDATALEN-1: the server cuts names of statements and portals
// there, so two that agree so far are one.
const nameSize = 63

// binding is what a name stands for: of a prepared statement its text, of a
// portal the statement that it was bound from, also after that was closed.
type binding struct {
	def *statement.Statement
	// form is that of def's text, from the number of the record that tells of the
	// definition; others are those of what it may be instead, see candidates.
	form   statement.Form
	trace  statement.Trace // that the text of a Parse claims
	from   uint64
	others []uint64
	since  uint32 // the table's haunts when it was made
	// also are the statements that def stands for, where it was not certain which one the
	// portal was bound from: each is judged by itself.
	also []*statement.Statement
	// types are those of a prepared statement's parameters, where they are known and
	// a rule asks for them; parameters those that a portal was bound with.
	types      []uint32
	parameters *captured
	// refused is set where the definition was denied: the server never sees it,
	// so what refers to it before the next Sync is skipped.
	refused bool
	hold    bool // a cursor that outlives its transaction
	// portal is set for those, and moves is what may have changed search_path before it
	// was bound: names were looked up then.
	portal bool
	moves  uint32

	// Of portals: the record of what an Execute that was sent runs, and the segment in
	// which it was; of one that the server suspended, the record whose outcome is owed,
	// and what it has given so far.
	seq       uint64
	sent      uint32
	suspended bool
	ran       uint64
	tally     tally
	// size is how much memory the name takes, in bytes and about.
	size int
}

// nameOverhead is what a name takes beside itself and its statement, in bytes.
const nameOverhead = int(unsafe.Sizeof(slot{}) + unsafe.Sizeof(pending{}) + 64)

// takes is the memory of the binding under that name. Who shares the statement may go
// before: all of it counts.
func (b *binding) takes(name string) int {
	n := nameOverhead + len(name) + 4*len(b.types)
	if b.def != nil {
		n += statement.Footprint(b.def)
	}
	for _, def := range b.also {
		n += statement.Footprint(def)
	}
	return n
}

// pending is a definition that the server has not confirmed yet.
type pending struct {
	id      uint64 // of the run or entry that makes it
	segment uint32
	b       binding
}

// slot is one name, with what it stands for now and what it may stand for once
// the outstanding messages are answered.
type slot struct {
	name  string
	now   binding
	later []pending
}

func (s *slot) unused() bool { return s.now.def == nil && len(s.later) == 0 }

// table holds the names of prepared statements, or of portals. SQL and wire
// share them: PREPARE and Parse, DECLARE and Bind.
type table struct {
	unnamed slot
	named   map[string]*slot
	// haunts counts what may have given or taken names of its own out of sight.
	haunts uint32
	// held is the memory of what the names stand for, and may, in bytes and about. It is
	// read without the machine's lock.
	held atomic.Int64
}

func (t *table) find(name []byte) *slot {
	if len(name) == 0 {
		return &t.unnamed
	}
	return t.named[string(name[:min(len(name), nameSize)])]
}

func (t *table) obtain(name []byte) *slot {
	if s := t.find(name); s != nil {
		return s
	}
	if t.named == nil {
		t.named = make(map[string]*slot)
	}
	s := &slot{name: string(name[:min(len(name), nameSize)])}
	t.named[s.name] = s
	return s
}

// define adds a definition that counts once the server confirms id.
func (t *table) define(name []byte, id uint64, segment uint32, b binding) *slot {
	s := t.obtain(name)
	b.since, b.size = t.haunts, b.takes(s.name)
	t.held.Add(int64(b.size))
	s.later = append(s.later, pending{id: id, segment: segment, b: b})
	return s
}

// confirm makes the pending definition with that id the current one, and
// returns what it displaced.
func (t *table) confirm(s *slot, id uint64) (displaced binding) {
	for i := range s.later {
		if s.later[i].id == id {
			displaced, s.now = s.now, s.later[i].b
			s.remove(i)
			t.held.Add(-int64(displaced.size))
			return displaced
		}
	}
	return binding{}
}

// drop forgets the pending definition with that id: the server skipped or
// refused it.
func (t *table) drop(s *slot, id uint64) {
	for i := range s.later {
		if s.later[i].id == id {
			t.held.Add(-int64(s.later[i].b.size))
			s.remove(i)
			break
		}
	}
	t.sweep(s)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// sign notes which record tells of the pending definition with that id.
func (s *slot) sign(id, record uint64) {
	for i := range s.later {
		if s.later[i].id == id {
			s.later[i].b.from = record
			return
		}
	}
}

func (s *slot) remove(i int) {
	copy(s.later[i:], s.later[i+1:])
	s.later[len(s.later)-1] = pending{}
	s.later = s.later[:len(s.later)-1]
}

// forget ends what the name stands for now, and returns it.
func (t *table) forget(s *slot) binding {
	was := s.now
	t.held.Add(-int64(was.size))
	s.now = binding{}
	t.sweep(s)
	return was
}

func (t *table) sweep(s *slot) {
	if s != &t.unnamed && s.unused() && t.named[s.name] == s {
		delete(t.named, s.name)
	}
}

// forgetAll ends every name that end says yes to.
func (t *table) forgetAll(end func(*binding) bool) {
	if t.unnamed.now.def != nil && end(&t.unnamed.now) {
		t.forget(&t.unnamed)
	}
	for _, s := range t.named {
		if s.now.def != nil && end(&s.now) {
			t.forget(s)
		}
	}
}

// candidates are the statements that a name may stand for when the server comes
// to use it.
type candidates struct {
	defs [8]*statement.Statement
	n    int
	made int // bindings that they come from
	// unknown is set where the name may stand for something else yet.
	unknown bool
	// skipped is set where the definition was refused in the same segment, so
	// that the server will not come to use it.
	skipped bool
	// newest is the binding that was made last; nil where there is none.
	newest *binding
	// oldest is the fewest moves of search_path that a portal among them was bound behind.
	portal bool
	oldest uint32
	// others are the records of what the name stands for where the server does
	// not accept the newest.
	others []uint64
}

func (c *candidates) add(b *binding) {
	if c.newest == nil {
		c.newest = b
	} else {
		c.others = append(c.others, b.from)
		// What they do to names or the transaction is followed where they agree on it.
		c.unknown = c.unknown || b.def.Effect != c.newest.def.Effect
	}
	if c.made++; b.portal && (!c.portal || b.moves < c.oldest) {
		c.portal, c.oldest = true, b.moves
	}
	c.others = append(c.others, b.others...)
	c.may(b.def)
	for _, def := range b.also {
		c.may(def)
	}
}

func (c *candidates) may(def *statement.Statement) {
	if c.n == len(c.defs) {
		c.unknown = true
		return
	}
	c.defs[c.n] = def
	c.n++
}

// certain tells whether it is known which binding the server uses.
func (c *candidates) certain() bool { return c.made == 1 && !c.unknown }

// lookup lists what the name may stand for. A pending definition of the same
// segment is certain: had it failed, its user would be skipped with it. A name
// outside ASCII is never certain: which one it is, and where it is cut, depends on
// both encodings at the time.
func (t *table) lookup(name []byte, segment uint32) (c candidates) {
	s := t.find(name)
	if s == nil || !isASCII(name) {
		c.unknown = true
		return c
	}
	for i := len(s.later) - 1; i >= 0 && !c.unknown; i-- {
		p := &s.later[i]
		if p.b.refused {
			if p.segment == segment {
				c.skipped = true
				return c
			}
			continue
		}
		c.add(&p.b)
		if p.segment == segment {
			c.unknown = c.unknown || t.haunted(s, &p.b)
			return c
		}
	}
	if s.now.def != nil {
		c.add(&s.now)
	}
	c.unknown = c.unknown || c.n == 0 || t.haunted(s, &s.now)
	return c
}

// haunted tells whether the name may stand for something that was made out of sight:
// but for what the server took after that, and the name that each Parse replaces.
func (t *table) haunted(s *slot, b *binding) bool {
	return s != &t.unnamed && t.haunts > 0 && (b.def == nil || b.since != t.haunts)
}

// lookupString is lookup for a name that SQL gives, which is never empty.
func (t *table) lookupString(name string, segment uint32) candidates {
	var b [nameSize]byte
	return t.lookup(b[:copy(b[:], name)], segment)
}
