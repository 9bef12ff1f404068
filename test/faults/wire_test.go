package faults

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// wire passes bytes on between those who connect to it and a target. When it is
// armed it is cut once, before a piece that a side sends, as the sides write them.
type wire struct {
	net.Listener
	target string
	work   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool // guarded by mu
	closed bool
	plan   cut // guarded by mu
	pieces [2]int
	done   bool // it was cut
}

// cut says where: before the piece at (the first is 0) that a side sends, 0 for who
// connects, 1 for the target, or in the middle of it. A wire with at < 0 is never
// cut, and counts.
type cut struct {
	side, at     int
	reset, inMid bool
	dial         bool // the next connection is not taken
}

func (c cut) String() string {
	if c.dial {
		return "the next connection"
	}
	return fmt.Sprintf("piece %d, %s, %s", c.at, map[bool]string{false: "before it", true: "in the middle"}[c.inMid],
		map[bool]string{false: "FIN", true: "RST"}[c.reset])
}

// lay starts a wire on an address with a free port.
func lay(t *testing.T, host, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, target: target, conns: map[net.Conn]bool{}, plan: cut{at: -1}}
	w.work.Go(w.serve)
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		w.drop(false)
		w.work.Wait()
	})
	return w
}

// arm counts from now on.
func (w *wire) arm(c cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan, w.pieces, w.done = c, [2]int{}, false
}

// travelled is how many pieces each side has sent, and whether the wire was cut.
func (w *wire) travelled() (pieces [2]int, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pieces, w.done
}

func (w *wire) serve() {
	for {
		near, err := w.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if err == nil && w.refuses() {
			_ = far.Close()
			err = net.ErrClosed
		}
		if err != nil || !w.keep(near, far) {
			_ = near.Close()
			continue
		}
		w.work.Go(func() { w.pass(0, near, far) })
		w.work.Go(func() { w.pass(1, far, near) })
	}
}

// refuses says whether a new connection is the one that is not taken.
func (w *wire) refuses() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	refused := w.plan.dial && !w.done
	w.done = w.done || refused
	return refused
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.closed {
			_ = c.Close()
		} else {
			w.conns[c] = true
		}
	}
	return !w.closed
}

// pass passes on what a side sends, and its end.
func (w *wire) pass(side int, from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && w.falls(side) {
			if w.inMid() {
				_, _ = to.Write(b[:n/2])
			}
			// Both ends of this connection, and no other.
			w.sever(from)
			w.sever(to)
			return
		}
		if _, e := to.Write(b[:n]); e != nil {
			err = e
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = to.(*net.TCPConn).CloseWrite()
			} else {
				_, _ = from.Close(), to.Close()
			}
			w.forget(from)
			return
		}
	}
}

// falls counts a piece, and says whether the cut is in front of it.
func (w *wire) falls(side int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.pieces[side]
	w.pieces[side]++
	if w.done || w.plan.at < 0 || w.plan.dial || w.plan.side != side || w.plan.at != at {
		return false
	}
	w.done = true
	return true
}

func (w *wire) inMid() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plan.inMid
}

func (w *wire) sever(c net.Conn) {
	w.mu.Lock()
	reset := w.plan.reset
	w.mu.Unlock()
	if reset {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	_ = c.Close()
	w.forget(c)
}

func (w *wire) forget(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// drop ends every connection that there is.
func (w *wire) drop(reset bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		_ = c.Close()
	}
	clear(w.conns)
}
