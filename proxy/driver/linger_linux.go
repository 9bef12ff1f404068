package driver

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PostgreSQL sends by 8 KB, and so does libpq. A loop that is faster than they are
// wakes, reads and sends for each of these pieces, and that is most of what a byte
// costs. So an end that streams (a COPY, a backup, a long result) in such pieces
// lingers: behind each read the loop hears nothing of it for a moment, while more
// gathers in its socket.
const (
	streams   = 1 << 20                // bytes without a word from the other end, from which on one streams
	lingering = 400 * time.Microsecond // the moment: what comes in it at 400 MB/s has room in a Unix socket
	gathered  = 16 << 10               // bytes at once for which it is worth while, and above which it need not be
)

// lingerer is an end that lingers until then.
type lingerer struct {
	*session
	at    side
	until time.Time
}

// came takes down how much a side has sent.
func (s *session) came(at side, n int) {
	if n > 0 {
		e, other := &s.ends[at], &s.ends[1-at]
		e.came += n
		e.run += n
		e.reads++
		other.run, other.reads = 0, 0
	}
}

// linger has an end linger where it streams, and be heard where it does not.
func (s *session) linger(at side) {
	e := &s.ends[at]
	if e.lingers || e.hasMore() && s.queued {
		return
	}
	came := e.came
	e.came = 0
	if e.deaf && came < gathered {
		e.run, e.reads = 0, 0
	}
	e.lingers = came > 0 && !e.hasMore() && e.streams() && s.loop.lingering > 0
	if e.lingers {
		s.loop.lingerers = append(s.loop.lingerers, lingerer{s, at, time.Now().Add(s.loop.lingering)})
	}
	if e.deaf != e.lingers {
		e.deaf = e.lingers
		s.listen(e)
	}
}

// streams reports whether an end streams in pieces, or lingers since it did.
func (e *end) streams() bool {
	return e.run >= streams && (e.deaf || e.run/e.reads < gathered)
}

// heed turns to what has gathered.
func (s *session) heed(at side) {
	if s.left {
		return
	}
	defer s.after()
	s.turns++
	s.ends[at].lingers = false
	s.ends[at].readable = true
	s.work()
}

// heed turns to the ends that have lingered. All linger equally long, so the first are
// the ones that are done first.
func (l *loop) heed() {
	if len(l.lingerers) == 0 {
		return
	}
	now, n := time.Now(), 0
	for ; n < len(l.lingerers) && !l.lingerers[n].until.After(now); n++ {
		l.lingerers[n].heed(l.lingerers[n].at)
	}
	left := copy(l.lingerers, l.lingerers[n:])
	clear(l.lingerers[left:])
	l.lingerers = l.lingerers[:left]
}

// hear turns to what has come though an end lingers. Somebody may ask for it while the
// session is still on its way to the loop, which reads what has come when it enters.
func (s *session) hear() {
	if s.left || !s.entered {
		return
	}
	for i := range s.ends {
		s.ends[i].readable = s.ends[i].readable || s.ends[i].lingers
	}
	s.turn()
}

// pollFor is poll with a time that is no whole number of milliseconds.
func (l *loop) pollFor(events []unix.EpollEvent, most time.Duration) int {
	most = max(most, 0)
	timeout := struct{ seconds, nanoseconds int64 }{int64(most / time.Second), int64(most % time.Second)}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	return polled(n, errno)
}

// canPollFor reports whether the kernel can (5.11).
func (l *loop) canPollFor() bool {
	var event unix.EpollEvent
	var timeout struct{ seconds, nanoseconds int64 }
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&event)),
		1, uintptr(unsafe.Pointer(&timeout)), 0, 0)
	return errno == 0
}
