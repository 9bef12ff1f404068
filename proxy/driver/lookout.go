package driver

import (
	"errors"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/proxy/handover"
)

// lookout is for a client that goes away while its direction waits for the backend,
// which may be at work for as long as it likes, and nobody reads.
type lookout struct {
	conn  *handover.Conn // nil where nobody can tell
	grace time.Duration
	gone  chan part // takes one

	mu      sync.Mutex
	timer   *time.Timer // guarded by mu; nil before the first wait
	waiting bool        // guarded by mu: nobody reads
	since   time.Time   // guarded by mu: when the client was first seen to have closed its side, in this wait
}

// How often it looks, between these.
const (
	looksAtLeast = time.Second
	looksAtMost  = 10 * time.Millisecond
)

func (l *lookout) every() time.Duration { return min(max(l.grace/2, looksAtMost), looksAtLeast) }

// begin tells that a wait begins.
func (l *lookout) begin() {
	if l.conn == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.since = true, time.Time{}
	if l.timer == nil {
		l.timer = time.AfterFunc(l.every(), l.look)
	} else {
		l.timer.Reset(l.every())
	}
}

// end tells that it is over.
func (l *lookout) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	if l.timer != nil {
		l.timer.Stop()
	}
}

// look tells of a client that is gone, or that closed its side a time of grace ago: it
// may listen still, and what it sent last be on its way.
func (l *lookout) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiting {
		return
	}
	closed, broken := l.conn.HungUp()
	switch {
	case broken:
		l.tell(part{cause: ClientGone, err: errHungUp})
		return
	case !closed:
	case l.since.IsZero():
		l.since = time.Now()
	case time.Since(l.since) >= l.grace:
		l.tell(part{cause: ClientClosed, late: true})
		return
	}
	l.timer.Reset(l.every())
}

func (l *lookout) tell(p part) {
	select {
	case l.gone <- p:
	default:
	}
}

var errHungUp = errors.New("the connection to the client broke while it was not read")
