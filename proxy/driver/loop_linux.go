package driver

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/proxy/handover"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// loop is one thread that drives many sessions. Nothing of it may block but
// epoll_wait. What it owns is touched by its goroutine alone.
type loop struct {
	epoll, wake int
	sessions    atomic.Int32
	thread      atomic.Int32  // its number, for its clock
	busy        atomic.Uint32 // per cent of a processor that it took in the last second

	mu     sync.Mutex
	inbox  []func() // guarded by mu: what others want done
	called bool     // guarded by mu: wake was written to
	over   bool     // guarded by mu: wake is no more

	// Owned by run.
	table     table
	ready     []*session // have more to do, though no descriptor will tell
	others    []*session // the memory of the last ready
	waiting   int        // sessions that have something to do, about
	lingerers []lingerer
	lingering time.Duration // how long an end does; 0: none does
	blocks    blocks
	unsent    handover.Memory
	outputs   []*relay.Output
	mail      []func() // the memory of the last inbox
	closed    bool
}

func openLoop() (l *loop, err error) {
	l = &loop{}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(l.epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	// Edge by edge: what it counts is never read.
	if err = l.control(unix.EPOLL_CTL_ADD, l.wake, unix.EPOLLIN|unix.EPOLLET, wakeKey); err != nil {
		_ = unix.Close(l.wake)
		_ = unix.Close(l.epoll)
		return nil, err
	}
	if l.canPollFor() {
		l.lingering = lingering
	}
	return l, nil
}

func (l *loop) control(op, fd int, events uint32, k key) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: k.slot, Pad: k.age}))
}

// one is what an eventfd counts by.
var one = [8]byte{1}

// post has the loop do something, and reports whether it will: not when it is over.
// It may be called from anywhere.
func (l *loop) post(do func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.inbox = append(l.inbox, do)
	if !l.called {
		_, _ = unix.Write(l.wake, one[:])
	}
	l.called = true
	return true
}

// eventsAtOnce bounds what one epoll_wait tells of.
const eventsAtOnce = 128

func (l *loop) run() {
	// The thread is the loop's: the scheduler moves nothing else to it in the moments
	// that the loop waits, and the loop not away from what its caches hold.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.thread.Store(int32(unix.Gettid()))
	events := make([]unix.EpollEvent, eventsAtOnce)
	for !l.closed {
		n := l.wait(events)
		l.waiting = n + len(l.ready) + len(l.lingerers)
		for i := range n {
			l.happened(&events[i])
		}
		l.read()
		l.heed()
		l.goOn()
	}
	l.dissolve()
}

// happened turns to the session that an event is of.
func (l *loop) happened(ev *unix.EpollEvent) {
	k := key{ev.Fd, ev.Pad}
	if s := l.table.find(k); s != nil {
		s.happened(k.side(), ev.Events)
	}
}

// read does what others want.
func (l *loop) read() {
	l.mu.Lock()
	l.mail, l.inbox = l.inbox, l.mail[:0]
	l.called = false
	l.mu.Unlock()
	for i, do := range l.mail {
		l.mail[i] = nil
		do()
	}
}

// goOn gives each session that has more to do a turn.
func (l *loop) goOn() {
	l.ready, l.others = l.others[:0], l.ready
	for i, s := range l.others {
		l.others[i] = nil
		s.queued = false
		s.turn()
	}
}

// dissolve sends the sessions away and closes what is the loop's.
func (l *loop) dissolve() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.read() // of which some may be on their way here
	for _, s := range l.table.all() {
		s.leave()
	}
	_ = unix.Close(l.wake)
	_ = unix.Close(l.epoll)
}

// output lends an Output; it is given back when it was sent.
func (l *loop) output() *relay.Output {
	n := len(l.outputs)
	if n == 0 {
		return new(relay.Output)
	}
	out := l.outputs[n-1]
	l.outputs = l.outputs[:n-1]
	return out
}

func (l *loop) giveBack(out *relay.Output) {
	out.Reset()
	l.outputs = append(l.outputs, out)
}
