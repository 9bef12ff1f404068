package driver

import (
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// idleLoops are loops that nobody balances but the test.
func idleLoops(t *testing.T, n int) kind {
	t.Helper()
	ls := &Loops{over: make(chan struct{})}
	for range n {
		one, err := OpenLoops(1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = one.Close() })
		ls.loops = append(ls.loops, one.loops...)
	}
	return kind{name: "epoll", loops: ls}
}

// at is the loop that a session is with.
func (e *ends) at() *loop {
	if s := e.relay.place.session.Load(); s != nil {
		return s.loop
	}
	return nil
}

// shift has a loop give all it can to another, and returns when it has.
func shift(from, to *loop) {
	done := make(chan struct{})
	from.post(func() {
		from.shed(to, 100)
		close(done)
	})
	<-done
}

// TestChoice: a new session goes to the first loop that has time.
func TestChoice(t *testing.T) {
	d := idleLoops(t, 3)
	l := d.loops.loops
	for _, c := range []struct {
		busy [3]uint32
		want int
	}{
		{[3]uint32{0, 0, 0}, 0},
		{[3]uint32{49, 0, 0}, 0},
		{[3]uint32{50, 0, 0}, 1},
		{[3]uint32{50, 99, 0}, 2},
		{[3]uint32{80, 70, 90}, 1},
	} {
		for i, busy := range c.busy {
			l[i].busy.Store(busy)
		}
		if got := d.loops.choose(); got != l[c.want] {
			t.Errorf("%v: another loop than %d", c.busy, c.want)
		}
	}
}

// TestBusyLoopIsMeasured: by the processor time of its thread.
func TestBusyLoopIsMeasured(t *testing.T) {
	d := idleLoops(t, 2)
	l := d.loops.loops
	until(t, func() bool { return l[0].thread.Load() != 0 && l[1].thread.Load() != 0 })
	used := []time.Duration{l[0].taken(), l[1].taken()}
	done := make(chan struct{})
	l[0].post(func() {
		for from := l[0].taken(); l[0].taken()-from < 30*time.Millisecond; {
		}
		close(done)
	})
	<-done
	d.loops.measure(used, 40*time.Millisecond)
	if a, b := l[0].busy.Load(), l[1].busy.Load(); a < 75 || b > 25 {
		t.Errorf("%d %% and %d %%", a, b)
	}
}

// TestSpread: a loop that has too much gives about the share away that makes both
// alike.
func TestSpread(t *testing.T) {
	d := idleLoops(t, 2)
	l := d.loops.loops
	var all []*ends
	for range 8 {
		e := d.start(t)
		until(t, e.inLoop)
		e.exchange(t)
		all = append(all, e)
	}
	l[0].busy.Store(90)
	d.loops.spread()
	// How many turns an exchange takes depends on what comes together.
	until(t, func() bool { return l[0].sessions.Load() >= 2 && l[1].sessions.Load() >= 2 })
	for _, e := range all {
		e.exchange(t)
	}
	l[0].busy.Store(10)
	d.loops.gather()
	until(t, func() bool { return l[0].sessions.Load() == 8 && l[1].sessions.Load() == 0 })
	for _, e := range all {
		e.exchange(t)
	}
}

// TestOneBusySessionStays: what one session does alone is no lighter elsewhere.
func TestOneBusySessionStays(t *testing.T) {
	d := idleLoops(t, 2)
	l := d.loops.loops
	e := d.start(t)
	until(t, e.inLoop)
	e.exchange(t)
	l[0].busy.Store(100)
	d.loops.spread()
	ask(t, e, func(*session) int { return 0 }) // behind it
	if e.at() != l[0] {
		t.Error("it was moved")
	}
}

// TestMovedUnderLoad: sessions that are moved to and fro lose no byte, plain or with
// TLS, and end as others do.
func TestMovedUnderLoad(t *testing.T) {
	d := idleLoops(t, 2)
	l := d.loops.loops
	trips := []func(){}
	var plain []*ends
	for range 4 {
		e := d.start(t)
		plain = append(plain, e)
		trips = append(trips, func() { e.exchange(t) })
	}
	secret := d.startTLS(t, func(_, _ *tls.Conn) {})
	trips = append(trips, func() {
		send(t, secret.client, query)
		receive(t, secret.backend, len(query))
		send(t, secret.backend, answer)
		receive(t, secret.client, len(answer))
	})
	var work sync.WaitGroup
	over := make(chan struct{})
	for _, trip := range trips {
		work.Go(func() {
			for range 300 {
				trip()
			}
		})
	}
	var moving sync.WaitGroup
	moving.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				shift(l[0], l[1])
				shift(l[1], l[0])
			}
		}
	})
	work.Wait()
	for _, e := range plain {
		e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.AdminShutdown, Message: "revoked"})
	}
	for _, e := range plain {
		e.ended(t, Ended)
	}
	close(over)
	moving.Wait()
}

// TestMovedToALoopThatIsOver: the session goes on with goroutines.
func TestMovedToALoopThatIsOver(t *testing.T) {
	d := idleLoops(t, 1)
	gone, err := OpenLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	e := d.start(t)
	until(t, e.inLoop)
	e.exchange(t)
	shift(d.loops.loops[0], gone.loops[0])
	if e.inLoop() {
		t.Error("it has no loop to be in")
	}
	e.exchange(t)
}
