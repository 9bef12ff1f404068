package relay

import (
	"sync"

	"github.com/pgcustos/pgcustos/audit"
)

// scratch is what the machine fills while a session works. Most sessions wait, and
// those share what is there.
type scratch struct {
	event    audit.Event // of the record at hand, or the last one
	verdicts []verdict   // one for each statement of a text
	held     held
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// hand returns the machine's scratch, for as long as its lock is held.
func (m *Machine) hand() *scratch {
	if m.scratch == nil {
		m.scratch = scratches.Get().(*scratch)
	}
	return m.scratch
}

// keptVerdicts bounds the memory that is kept from one text to the next.
const keptVerdicts = 256

func (s *scratch) forget() {
	clear(s.verdicts)
	s.verdicts = s.verdicts[:0]
	if cap(s.verdicts) > keptVerdicts {
		s.verdicts = nil
	}
}

// letGo gives it back, with nothing of the session's in it.
func (m *Machine) letGo() {
	s := m.scratch
	if s == nil {
		return
	}
	m.scratch = nil
	s.event, s.held.res = audit.Event{}, result{}
	s.forget()
	scratches.Put(s)
}
