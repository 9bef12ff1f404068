package proxy

import (
	"sync"
	"time"
)

// rota says when each live session is looked at: not before any limit of its could
// have passed, for ten thousand idle sessions are not worth a look ten times a
// second. Its slots are watchPeriod apart.
type rota struct {
	mu    sync.Mutex
	slots [rotaSlots]map[*session]struct{} // guarded by mu
	now   int                              // guarded by mu: the slot of the last turn
}

const rotaSlots = 300

// horizon is the longest time between two looks at a session, 30 s: by then it is noticed
// that somebody has set the clock.
const horizon = (rotaSlots - 1) * watchPeriod

// turnOf is a session's place in a rota, which guards it.
type turnOf struct {
	slot  int  // one more than it; 0: in none
	early bool // something changed while it was looked at
	over  bool
}

// put has the session looked at before that time has passed, and at the next turn at
// the earliest.
func (r *rota) put(c *session, in time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(c)
	if c.turn.over {
		return
	}
	if c.turn.early {
		c.turn.early, in = false, 0
	}
	slot := (r.now + int(min(max(in, watchPeriod), horizon)/watchPeriod)) % len(r.slots)
	if r.slots[slot] == nil {
		r.slots[slot] = make(map[*session]struct{})
	}
	r.slots[slot][c] = struct{}{}
	c.turn.slot = slot + 1
}

// hurry has the session looked at by the next turn: what it may do has changed.
func (r *rota) hurry(c *session) {
	r.mu.Lock()
	listed := c.turn.slot > 0
	c.turn.early = true
	r.mu.Unlock()
	if listed {
		r.put(c, 0)
	}
}

// drop takes the session out for good.
func (r *rota) drop(c *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(c)
	c.turn.over = true
}

// leave takes the session out of its slot. mu is held.
func (r *rota) leave(c *session) {
	if c.turn.slot > 0 {
		delete(r.slots[c.turn.slot-1], c)
		c.turn.slot = 0
	}
}

// turn goes on by one slot, and appends its sessions to list: whoever looked at them
// puts them back.
func (r *rota) turn(list []*session) []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = (r.now + 1) % len(r.slots)
	for c := range r.slots[r.now] {
		list = append(list, c)
		c.turn.slot = 0
	}
	clear(r.slots[r.now])
	return list
}
