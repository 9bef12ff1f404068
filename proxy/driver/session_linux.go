package driver

import (
	"errors"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/proxy/relay"
)

// session is a Relay that a loop drives.
//
// The loop does what a session does most of the time. Where that ends, for good or
// for a message that has to be spooled, the session leaves, and goes on with the
// goroutines of directions.go, from the byte where the loop stood.
type session struct {
	*Relay
	loop *loop
	then func(func() (Cause, error))
	ends [2]end

	fresh   bool // the client's buffer holds what the machine has not seen
	sated   bool // others have their turn first
	full    bool // the backend has to answer before the machine takes more
	stepped bool // the errand has the machine
	queued  bool // in loop.ready
	entered bool
	leaving bool   // it goes on with goroutines
	left    bool   // and is theirs, or another loop's, already
	turns   uint32 // since the loop last looked who keeps it busy
}

// enter puts the session under the loop's eyes.
func (s *session) enter() {
	defer s.after()
	s.entered = true
	s.ends[clientSide].key = s.loop.table.add(s)
	s.ends[backendSide].key = s.ends[clientSide].key.of(backendSide)
	for i := range s.ends {
		e := &s.ends[i]
		if err := s.loop.control(unix.EPOLL_CTL_ADD, e.conn.Descriptor(), alwaysWanted, e.key); err != nil {
			s.leaving = true
		}
	}
	select {
	case <-s.Relay.ending:
		s.leaving = true
	default:
		s.work()
	}
}

// happened turns to what an event tells.
func (s *session) happened(at side, events uint32) {
	defer s.after()
	s.turns++
	e := &s.ends[at]
	e.noticed(events)
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 && e.conn.Pending() > 0 {
		s.sent(at, e.conn.Flush())
	}
	s.work()
}

// turn goes on with what no event tells of.
func (s *session) turn() {
	defer s.after()
	s.work()
}

// leave lets the session go on with goroutines. One that has not entered yet will see
// for itself that it is to end.
func (s *session) leave() {
	if s.entered {
		defer s.after()
		s.leaving = true
	}
}

// after ends what the loop did for the session. A panic ends the session alone:
// invariant 9.
func (s *session) after() {
	if v := recover(); v != nil {
		p := s.faulted(v, debug.Stack())
		if s.errand != nil {
			s.endBy(&s.backend, p) // the client's direction has to wait for that
		} else {
			s.endBy(&s.client, p)
		}
	}
	switch {
	case s.left:
	case s.leaving || s.deserted():
		s.depart()
	default:
		s.rest()
		if s.leaving {
			s.depart()
		}
	}
}

// depart hands the session to goroutines. The loop does not touch it again.
func (s *session) depart() {
	s.forsake()
	s.place.session.Store(nil)
	for i := range s.ends {
		s.ends[i].conn.Attach()
	}
	go s.then(s.finish)
}

// forsake takes the session from its loop's eyes.
func (s *session) forsake() {
	s.left = true
	s.loop.sessions.Add(-1)
	if !s.entered {
		return
	}
	for i := range s.ends {
		_ = s.loop.control(unix.EPOLL_CTL_DEL, s.ends[i].conn.Descriptor(), 0, key{})
	}
	s.loop.table.remove(s.ends[clientSide].key)
}

// endBy leaves for the end of a direction.
func (s *session) endBy(d *direction, p part) {
	d.end = &p
	s.leaving = true
}

// sent looks after what became of bytes for a side: what could not be sent waits for
// room.
func (s *session) sent(at side, err error) {
	e := &s.ends[at]
	switch {
	case s.leaving:
	case err != nil && at == clientSide:
		s.endBy(&s.backend, part{cause: ClientGone, err: err})
	case err != nil:
		s.sever()
		s.leaving = true
	default:
		if at == backendSide && s.wrote && e.conn.Pending() == 0 {
			s.allSent()
		}
		s.watch(e)
	}
}

// watch has room waited for while there is something to send.
func (s *session) watch(e *end) {
	if e.watched == (e.conn.Pending() > 0) {
		return
	}
	e.watched = !e.watched
	s.listen(e)
}

// listen has epoll tell what is to be known of an end.
func (s *session) listen(e *end) {
	events := uint32(alwaysWanted)
	if e.deaf {
		events = unix.EPOLLET
	}
	if e.watched {
		events |= unix.EPOLLOUT
	}
	if err := s.loop.control(unix.EPOLL_CTL_MOD, e.conn.Descriptor(), events, e.key); err != nil {
		s.leaving = true
	}
}

// A read of answers to many messages may bring thousands, each with an outcome to be
// recorded, where one of rows brings none: where that may be, less is read at once, in
// bytes, so that others have their turn.
const (
	manyAnswers   = 32
	answersAtOnce = 4 << 10
)

// readsAtOnce bounds what a session may do before others have their turn, where it is the
// only one that has something to do.
const readsAtOnce = 4

// work does what there is to do for the session.
func (s *session) work() {
	s.sated = false
	rounds := readsAtOnce
	if s.loop.waiting > 1 {
		rounds = 1
	}
	for range rounds {
		backend, client := s.turnBackend(), s.turnClient()
		if !backend && !client || s.sated {
			break
		}
	}
}

// rest gives back what the session does not need between two turns, and asks for
// another where there is more to do.
func (s *session) rest() {
	if s.errand == nil {
		s.client.buf.rest(&s.loop.blocks)
	}
	if !s.queued && (s.clientMay() || s.backendMay()) {
		s.queued = true
		s.loop.ready = append(s.loop.ready, s)
	}
	s.backend.buf.rest(&s.loop.blocks)
	s.linger(clientSide)
	s.linger(backendSide)
}

// backendMay reports whether the backend's direction can go on: not while the client
// does not take what it has been sent.
func (s *session) backendMay() bool {
	return !s.leaving && !s.stepped && s.ends[backendSide].hasMore() && s.ends[clientSide].conn.Pending() == 0
}

// turnBackend moves what the backend has sent, once.
func (s *session) turnBackend() (did bool) {
	if !s.backendMay() {
		return false
	}
	buf := &s.backend.buf
	before := buf.len()
	most := largeBuffer
	if s.opt.Machine.Backlog() > manyAnswers {
		most = answersAtOnce
	}
	readErr := s.ends[backendSide].fill(buf, &s.loop.blocks, most)
	s.sent(backendSide, s.ends[backendSide].conn.Flush()) // what crypto/tls answers by itself
	if n := buf.len() - before; n > 0 {
		s.came(backendSide, n)
		s.answer(buf)
	}
	switch {
	case errors.Is(readErr, errNoMemory):
		s.endBy(&s.client, part{cause: OutOfMemory, err: readErr})
	case readErr != nil:
		s.leaving = true // it is read again, and says so again
	}
	return true
}

// answer gives the machine what the backend sent, and the client what the machine
// makes of it.
func (s *session) answer(buf *buffer) {
	out := s.loop.output()
	n, err := s.opt.Machine.Backend(s.opt.Now(), buf.bytes(), out)
	s.sent(clientSide, s.ends[clientSide].write(out.Chunks))
	s.loop.giveBack(out)
	buf.take(n)
	if err != nil && !s.leaving {
		s.endBy(&s.backend, backendError(err))
	}
	if s.full {
		s.full, s.fresh = false, true
	}
}

// clientMay reports whether the client's direction can go on: not while it waits for
// an errand or for the backend, which may be slow to take what it has been sent. A
// client that does not take what it is sent is not heard either, when that is more
// than answers alone can be.
func (s *session) clientMay() bool {
	return !s.leaving && s.errand == nil && !s.full && (s.fresh || s.ends[clientSide].hasMore()) &&
		s.ends[backendSide].conn.Pending() == 0 && s.ends[clientSide].conn.Pending() < maxPending
}

// deserted reports whether the client has closed its side, or worse, and is not read
// because the backend is slow: goroutines look whether that is for long.
func (s *session) deserted() bool {
	return s.ends[clientSide].closing && (s.full || s.ends[backendSide].conn.Pending() > 0)
}

// maxPending is how much a client may leave untaken before it is not heard any more:
// an answer of one turn, and what crypto/tls says by itself (a key update asks for
// one in return).
const maxPending = 256 << 10

// turnClient moves what the client has sent, once.
func (s *session) turnClient() (did bool) {
	if !s.clientMay() {
		return false
	}
	buf := &s.client.buf
	if !s.fresh {
		before := buf.len()
		readErr := s.ends[clientSide].fill(buf, &s.loop.blocks, largeBuffer)
		s.sent(clientSide, s.ends[clientSide].conn.Flush())
		s.fresh = buf.len() > before
		s.came(clientSide, buf.len()-before)
		if errors.Is(readErr, errNoMemory) {
			s.endBy(&s.client, part{cause: OutOfMemory, err: readErr})
		}
		s.leaving = s.leaving || readErr != nil
	}
	if s.fresh && !s.leaving {
		s.fresh = false
		s.step()
	}
	return true
}

// step gives the machine what has come from the client.
func (s *session) step() {
	out := s.loop.output()
	if s.opt.Machine.MayBlock(s.client.buf.bytes()) {
		s.send(&errand{kind: takeStep, out: out})
		return
	}
	n, next := s.opt.Machine.Client(s.opt.Now(), s.client.buf.bytes(), out)
	s.carryOut(out, n, next)
}

// carryOut does what a step asks for.
func (s *session) carryOut(out *relay.Output, n int, next relay.Next) {
	if out.Durable {
		s.send(&errand{kind: awaitRecord, out: out, n: n, next: next})
		return
	}
	err := s.ends[backendSide].write(out.Chunks)
	s.wrote = true
	s.sent(backendSide, err)
	switch {
	case err != nil:
		s.client.buf.take(s.client.buf.len())
	case next == relay.JudgeText && !s.leaving:
		e := &errand{kind: judgeText, out: out, n: n, next: next}
		e.text, e.encoding = s.opt.Machine.Text()
		s.send(e)
		return
	default:
		s.goOn(n, next)
	}
	s.loop.giveBack(out)
}

// goOn takes what the machine is done with, and sees what it waits for.
func (s *session) goOn(n int, next relay.Next) {
	buf := &s.client.buf
	buf.take(n)
	switch next {
	case relay.More:
		buf.want(min(s.opt.Machine.Want(), s.opt.MaxMessage))
	case relay.JudgeText:
		s.fresh = true
	case relay.Again:
		s.fresh, s.sated = true, true
	case relay.Full:
		// What there was to answer may have been, while a record was waited for.
		s.full = !s.opt.Machine.Room()
		s.fresh = !s.full
	case relay.Cancelling:
		s.send(&errand{kind: awaitCalm})
	case relay.Terminated:
		buf.take(buf.len())
		s.leaving = true
	case relay.Spool:
		s.leaving = true
	case relay.Broken, relay.Adrift:
		s.endBy(&s.client, lostFraming(next))
	}
}

// send runs an errand on the side. The client's direction waits for it; the backend's
// goes on, but where the errand has the machine.
func (s *session) send(e *errand) {
	s.begin()
	e.done = make(chan struct{})
	s.errand = e
	s.stepped = e.kind == takeStep
	l := s.loop
	go func() {
		s.perform(e)
		l.post(s.concluded)
	}()
}

// concluded goes on behind an errand.
func (s *session) concluded() {
	if s.left {
		return // whoever drives the session now waits for it
	}
	defer s.after()
	e := s.errand
	s.errand, s.stepped = nil, false
	switch {
	case e.fault != nil:
		s.endBy(&s.client, *e.fault)
	case e.err != nil:
		s.endBy(&s.client, part{cause: Unrecorded, err: e.err})
	case e.kind == awaitCalm:
		s.fresh = true
	case e.kind == judgeText:
		s.opt.Machine.Judged(e.judgement)
		s.goOn(e.n, e.next)
		s.loop.giveBack(e.out)
	default:
		e.out.Durable = e.out.Durable && e.kind != awaitRecord
		s.carryOut(e.out, e.n, e.next)
	}
	s.work()
}
