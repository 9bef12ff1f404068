package driver

import (
	"time"

	"golang.org/x/sys/unix"
)

// What a loop costs per message falls with what it finds at each waking, so sessions
// share a loop for as long as it has time for them: on a machine that the backend
// and its clients share, that is most often one.
const (
	roomy   = 50 // per cent of a processor, below which a loop takes new sessions
	crowded = 75 // above which it gives some away
	sparse  = 30 // of two loops together, below which one is enough
)

// balanced is how often the loops are looked after.
const balanced = time.Second

// choose is the loop for a new session: the first that has time, or else the one that
// has the most.
func (ls *Loops) choose() *loop {
	best := ls.loops[0]
	for _, l := range ls.loops {
		switch busy := l.busy.Load(); {
		case busy < roomy:
			return l
		case busy < best.busy.Load():
			best = l
		}
	}
	return best
}

// balance moves sessions between the loops as their load asks for.
func (ls *Loops) balance() {
	ticker := time.NewTicker(balanced)
	defer ticker.Stop()
	used := make([]time.Duration, len(ls.loops))
	for {
		last := time.Now()
		select {
		case <-ls.over:
			return
		case <-ticker.C:
		}
		ls.measure(used, time.Since(last))
		ls.spread()
		ls.gather()
	}
}

// measure takes down how busy each loop was; used is what each had taken by then.
func (ls *Loops) measure(used []time.Duration, passed time.Duration) {
	for i, l := range ls.loops {
		now := l.taken()
		l.busy.Store(uint32(100 * (now - used[i]) / max(passed, 1)))
		used[i] = now
	}
}

// taken is the processor time of the loop's thread.
func (l *loop) taken() time.Duration {
	thread := l.thread.Load()
	if thread == 0 {
		return 0 // it has not begun
	}
	var ts unix.Timespec
	// How the clock of another thread is called: clock_getcpuclockid(3) has it for
	// processes, linux/posix-timers_types.h for threads.
	const perThread, scheduled = 4, 2
	clock := ^thread<<3 | perThread | scheduled
	if unix.ClockGettime(clock, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// spread has the busiest loop give sessions to the one with the most time.
func (ls *Loops) spread() {
	from, to := ls.loops[0], ls.loops[0]
	for _, l := range ls.loops {
		if l.busy.Load() > from.busy.Load() {
			from = l
		}
		if l.busy.Load() < to.busy.Load() {
			to = l
		}
	}
	most, least := from.busy.Load(), to.busy.Load()
	if most > crowded && least < most/2 {
		from.post(func() { from.shed(to, (most-least)*50/most) })
	}
}

// gather lets one loop do what two do with little load.
func (ls *Loops) gather() {
	for i := len(ls.loops) - 1; i > 0; i-- {
		from := ls.loops[i]
		if from.sessions.Load() == 0 {
			continue
		}
		for _, to := range ls.loops[:i] {
			if from.busy.Load()+to.busy.Load() < sparse {
				from.post(func() { from.shed(to, 100) })
				return
			}
		}
	}
}

// movedAtOnce bounds how long the others of a loop wait for those that move.
const movedAtOnce = 256

// shed moves sessions to another loop: those that had so many per cent of the turns
// since the last time, and never one that had more alone.
func (l *loop) shed(to *loop, percent uint32) {
	all := l.table.all()
	total := uint64(0)
	for _, s := range all {
		total += uint64(s.turns)
	}
	left, moved := total*uint64(percent)/100, 0
	for _, s := range all {
		turns := uint64(s.turns)
		s.turns = 0
		if moved < movedAtOnce && turns <= left && (turns > 0 || percent == 100) && s.move(to) {
			moved++
			left -= turns
		}
	}
}

// move hands a session that rests to another loop, and reports whether it did. Who
// still knows the session as it was finds that it has left.
func (s *session) move(to *loop) bool {
	if !s.rests() {
		return false
	}
	s.forsake()
	n := &session{Relay: s.Relay, loop: to, then: s.then, full: s.full}
	for i := range s.ends {
		s.ends[i].conn.Lend(&to.unsent)
		n.ends[i] = newEnd(s.ends[i].conn, s.ends[i].stream)
	}
	to.sessions.Add(1)
	s.place.session.Store(n)
	if !to.post(n.enter) {
		n.depart()
	}
	return true
}

// rests reports whether nothing of the session is the loop's, and nobody is to come
// back to it.
func (s *session) rests() bool {
	if s.left || s.leaving || s.queued || s.fresh || s.errand != nil {
		return false
	}
	for i := range s.ends {
		e := &s.ends[i]
		if e.conn.Pending() > 0 || e.conn.Ahead() > 0 || e.cipher != nil {
			return false
		}
	}
	return true
}
