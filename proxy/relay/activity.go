package relay

import "sync/atomic"

// Phase is what a session is doing, as its limits see it.
type Phase uint32

// The phases.
const (
	PhaseIdle              Phase = iota // between transactions
	PhaseIdleInTransaction              // the client holds a transaction open
	PhaseActive                         // a statement runs
)

// activity is what the limits of a session are watched by, without its lock.
type activity struct {
	phase atomic.Uint32
	since atomic.Int64 // ns on the driver's clock
}

func (a *activity) enter(p Phase, now int64) {
	a.since.Store(now)
	a.phase.Store(uint32(p))
}

// Activity returns what the session is doing, and since when on the driver's
// clock. It takes no lock; the two may be of different moments.
func (m *Machine) Activity() (phase Phase, since int64) {
	return Phase(m.activity.phase.Load()), m.activity.since.Load()
}

// started notes that a message was forwarded.
func (m *Machine) started(now int64) {
	if Phase(m.activity.phase.Load()) != PhaseActive {
		m.activity.enter(PhaseActive, now)
	}
}

// paused notes that a client has had all its answers behind a Flush: the
// transaction that its next Sync would end is open.
func (m *Machine) paused(now int64) {
	if m.queue.len() == 0 && !m.copyIn && Phase(m.activity.phase.Load()) == PhaseActive {
		m.activity.enter(PhaseIdleInTransaction, now)
	}
}

// rested notes what the session does after the backend answered.
func (m *Machine) rested(now int64) {
	switch {
	case !m.resting():
		m.activity.enter(PhaseActive, now)
	case m.tx.status == txIdle:
		m.activity.enter(PhaseIdle, now)
	default:
		m.activity.enter(PhaseIdleInTransaction, now)
	}
}
