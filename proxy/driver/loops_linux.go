package driver

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/pgcustos/pgcustos/proxy/handover"
)

// Loops are event loops that drive sessions together.
type Loops struct {
	loops []*loop
	work  sync.WaitGroup
	over  chan struct{}

	reserved int // processors of Go's scheduler
}

// OpenLoops starts n loops; 0 stands for one for each processor. Until Close, Go's
// scheduler has a processor more for each of them (GOMAXPROCS): a loop that waits
// for a moment keeps its own, and takes it from nobody.
func OpenLoops(n int) (*Loops, error) {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	ls := &Loops{over: make(chan struct{}), reserved: n}
	reserve(n)
	for range n {
		l, err := openLoop()
		if err != nil {
			_ = ls.Close()
			return nil, fmt.Errorf("event loop: %w", err)
		}
		ls.loops = append(ls.loops, l)
		ls.work.Go(l.run)
	}
	if n > 1 {
		ls.work.Go(ls.balance)
	}
	return ls, nil
}

// Close ends the loops. Sessions that are left go on with goroutines.
func (ls *Loops) Close() error {
	close(ls.over)
	for _, l := range ls.loops {
		l.post(func() { l.closed = true })
	}
	ls.work.Wait()
	reserve(-ls.reserved)
	return nil
}

var reserving sync.Mutex

// reserve changes how many processors Go's scheduler has.
func reserve(more int) {
	reserving.Lock()
	defer reserving.Unlock()
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)+more))
}

// place is where a session is driven, for those who call from outside.
type place struct{ session atomic.Pointer[session] }

// enterLoop hands the session to a loop. It reports whether that was possible: the
// descriptors of both connections must be within reach, and more to be had.
func (r *Relay) enterLoop(then func(func() (Cause, error))) bool {
	client, backend := handover.Of(r.opt.Client), handover.Of(r.opt.Backend)
	if r.opt.Loops == nil || client == nil || backend == nil {
		return false
	}
	l := r.opt.Loops.choose()
	if _, err := client.Detach(&l.unsent); err != nil {
		return false
	}
	if _, err := backend.Detach(&l.unsent); err != nil {
		client.Attach()
		return false
	}
	s := &session{Relay: r, loop: l, then: then}
	s.ends[clientSide] = newEnd(client, r.opt.Client)
	s.ends[backendSide] = newEnd(backend, r.opt.Backend)
	l.sessions.Add(1)
	r.place.session.Store(s)
	if !l.post(s.enter) {
		s.depart()
	}
	return true
}

// CatchUp waits until the session's loop has seen what has come by now.
func (r *Relay) CatchUp(ctx context.Context) {
	s := r.place.session.Load()
	if s == nil {
		return
	}
	seen := make(chan struct{})
	// A descriptor that was ready before the post is seen to before the post is.
	if !s.loop.post(func() { s.hear(); close(seen) }) {
		return
	}
	select {
	case <-seen:
	case <-ctx.Done():
	}
}

// leaveLoop lets a session that is to end go on with goroutines. A loop that gets to
// know it only later looks itself.
func (r *Relay) leaveLoop() {
	if s := r.place.session.Load(); s != nil {
		s.loop.post(s.leave)
	}
}
