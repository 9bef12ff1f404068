package driver

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// patient has ends linger for an hour.
func (d kind) patient() kind {
	for _, l := range d.loops.loops {
		done := make(chan struct{})
		l.post(func() {
			l.lingering = time.Hour
			close(done)
		})
		<-done
	}
	return d
}

func lingers(at side) func(*session) bool {
	return func(s *session) bool { return s.ends[at].lingers }
}

var (
	piece  = pgwire.AppendMessage(nil, pgwire.CopyData, bytes.Repeat([]byte("x"), 1<<10))
	some   = bytes.Repeat(piece, 8) // as PostgreSQL sends
	enough = bytes.Repeat(piece, gathered>>10)
)

// stream has an end send so much that it lingers.
func (e *ends) stream(t *testing.T, at side) (from, to *net.TCPConn) {
	t.Helper()
	from, to = e.client, e.backend
	if at == backendSide {
		send(t, e.client, query)
		receive(t, e.backend, len(query))
		from, to = e.backend, e.client
	}
	for range streams/len(some) + 1 {
		send(t, from, some)
		receive(t, to, len(some))
	}
	return from, to
}

var sides = map[string]side{"client": clientSide, "backend": backendSide}

// TestStreamLingers: an end that sends much without an answer is heard only now and
// then, one that is answered always.
func TestStreamLingers(t *testing.T) {
	for name, at := range sides {
		t.Run(name, func(t *testing.T) {
			d := oneLoop(t).patient()
			e, other := d.start(t), d.start(t)
			for range 2 * streams / len(some) {
				other.exchange(t)
				send(t, other.client, query)
				receive(t, other.backend, len(query))
				send(t, other.backend, some)
				receive(t, other.client, len(some))
			}
			if ask(t, other, lingers(clientSide)) || ask(t, other, lingers(backendSide)) {
				t.Error("a session lingers whose ends answer each other")
			}
			from, to := e.stream(t, at)
			until(t, func() bool { return ask(t, e, lingers(at)) })
			send(t, from, enough)
			other.exchange(t)
			if !ask(t, e, func(s *session) bool { return s.ends[at].deaf && !s.ends[at].readable }) {
				t.Error("what came was noticed")
			}
			e.relay.CatchUp(context.Background())
			receive(t, to, len(enough))
			_ = from.SetLinger(0)
			_ = from.Close() // broken, which is always told
			<-drainedOf(to)
		})
	}
}

// drainedOf reads to the end.
func drainedOf(c *net.TCPConn) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		for b := make([]byte, 1<<10); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}()
	return end
}

// TestLingeringLosesNothing: what comes while an end lingers, or just when it ends, is
// heard of in time, and so is that nothing more will come.
func TestLingeringLosesNothing(t *testing.T) {
	for name, at := range sides {
		t.Run(name, func(t *testing.T) {
			e := oneLoop(t).start(t)
			from, to := e.stream(t, at)
			for i := range 1000 {
				n := 1 + i%40
				go func() { _, _ = from.Write(bytes.Repeat(piece, n)) }()
				if got := receive(t, to, n*len(piece)); !bytes.Equal(got, bytes.Repeat(piece, n)) {
					t.Fatal("something else came")
				}
			}
			_ = from.CloseWrite()
			rest(t, to)
		})
	}
}

// TestQuietEndIsHeardAgain: lingering that brings nothing is not repeated.
func TestQuietEndIsHeardAgain(t *testing.T) {
	e := oneLoop(t).start(t)
	from, to := e.stream(t, backendSide)
	until(t, func() bool {
		return ask(t, e, func(s *session) bool { return !s.ends[backendSide].deaf && s.ends[backendSide].run == 0 })
	})
	for range 10 {
		send(t, from, piece)
		receive(t, to, len(piece))
		if ask(t, e, lingers(backendSide)) {
			t.Error("it lingers behind a little")
		}
	}
}

// TestHeardBeforeItEnters: who asks the loop for a session that is on its way to it.
func TestHeardBeforeItEnters(t *testing.T) {
	s := &session{}
	s.hear()
	if s.leaving || s.queued {
		t.Error("the loop had a turn of it")
	}
}

// TestLingererMayMove: a session that streams goes to another loop as any other does.
func TestLingererMayMove(t *testing.T) {
	d := idleLoops(t, 2).patient()
	l := d.loops.loops
	e := d.start(t)
	for range 10 {
		_, to := e.stream(t, backendSide)
		until(t, func() bool { return ask(t, e, lingers(backendSide)) })
		from, other := e.at(), l[0]
		if from == other {
			other = l[1]
		}
		shift(from, other)
		send(t, e.backend, answer)
		receive(t, to, len(answer))
	}
}
