package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/handover"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// fault is a panic of a direction. finish raises it again where its caller can
// recover, when both connections are closed: it ends this session alone
// (invariant 9).
type fault struct {
	value any
	stack []byte
}

// Error implements error.
func (f *fault) Error() string { return fmt.Sprintf("%v\n%s", f.value, f.stack) }

// faulted keeps the first panic.
func (r *Relay) faulted(value any, stack []byte) part {
	f := &fault{value: value, stack: stack}
	r.fault.CompareAndSwap(nil, f)
	return part{cause: Fault, err: f}
}

// await waits for the first cause of an end, and sees it through.
func (r *Relay) await(client, backend chan part) (Cause, error) {
	select {
	case p := <-client:
		if last := lastWords(p); last != nil {
			r.farewell.CompareAndSwap(nil, last)
			r.end(backend)
			return p.cause, p.err
		}
		return r.clientEnded(p, backend)
	case p := <-r.lookout.gone:
		return r.clientEnded(p, backend)
	case p := <-backend:
		return r.backendEnded(p)
	case <-r.ending:
		r.end(backend)
		return Ended, nil
	}
}

// lastWords are for a client that is still there when its direction ended; nil
// where PostgreSQL says nothing either.
func lastWords(p part) *pgwire.Error {
	switch {
	case errors.Is(p.err, relay.ErrAdrift):
		return adriftError()
	case p.cause == OutOfMemory:
		return outOfMemoryError()
	case p.cause == SpoolLost:
		return spoolLostError()
	case p.cause == Unrecorded:
		return unrecordedError()
	default:
		return nil
	}
}

// clientEnded lets the backend finish what a client asked for that closed its
// side, or went on with what is no message, for a while; it cancels at once where
// the client is gone.
func (r *Relay) clientEnded(p part, backend chan part) (Cause, error) {
	m := r.opt.Machine
	if !p.late && (p.cause == ClientClosed || p.cause == ClientTerminated || p.cause == ClientFraming) {
		if p.cause == ClientClosed {
			r.passOn(p.cut)
		}
		if r.waitFor(backend, r.opt.ClientGoneGrace) {
			return p.cause, p.err
		}
	}
	if m.Outstanding() {
		r.stopWork(func() { r.waitFor(backend, cancelGrace) })
	}
	return p.cause, p.err
}

// stopWork cancels what the backend does, and what stands behind it. answered waits for
// what it says to that. One that has more to do would not look at its connection before
// all of it is done, unless it cannot say what became of the next.
func (r *Relay) stopWork(answered func()) {
	m := r.opt.Machine
	several := m.Backlog() > 1
	r.cancel()
	answered()
	if h := handover.Of(r.opt.Backend); h != nil && several && m.Outstanding() {
		h.Abort()
		// A cancel that comes between two statements stops neither, and nobody tells of it.
		for range lastCancels - 1 {
			r.cancel()
			time.Sleep(settleTime)
		}
		r.cancel()
	}
}

// lastCancels is how many cancels a backend gets whose connection is no more.
const lastCancels = 3

// passOn tells the backend that the client has closed its side. Where it waits for
// nothing that is a goodbye; otherwise the backend sees the same end of the stream, for
// only it knows what it was reading, and whoever closed one side alone hears what it
// makes of that. cut is of a header: not enough for anything to be done.
func (r *Relay) passOn(cut []byte) {
	_ = r.opt.Backend.SetWriteDeadline(time.Now().Add(time.Second))
	if !r.opt.Machine.Outstanding() {
		_, _ = r.opt.Backend.Write([]byte{pgwire.Terminate, 0, 0, 0, 4})
		return
	}
	if len(cut) > 0 {
		_, _ = r.opt.Backend.Write(cut)
	}
	closeWrite(r.opt.Backend)
}

// cancelGrace is how long the backend may take to notice a cancel.
const cancelGrace = 2 * time.Second

func (r *Relay) cancel() {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	_ = r.opt.Cancel(ctx)
}

// waitFor reports whether the backend ends in time. It waits no longer than its direction
// goes on.
func (r *Relay) waitFor(backend chan part, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case p := <-backend:
		backend <- p // for who waits next
		return p.cause != ClientGone && p.cause != Fault
	case <-t.C:
		return false
	case <-r.ending:
		return false
	}
}

// backendEnded tells the client where the backend went away without a word. A
// second goodbye would confuse it. What runs is cancelled where nobody is left to
// see its end.
func (r *Relay) backendEnded(p part) (Cause, error) {
	switch {
	case p.cause != BackendClosed:
	case r.opt.Machine.SaidGoodbye():
		p = part{cause: ClientTerminated}
	case r.opt.Machine.Derailed():
		return ClientFraming, nil
	case !r.opt.Machine.Parted():
		p.cause = BackendLost
	}
	switch p.cause {
	case Unrecorded:
		r.say(unrecordedError())
	case OutOfMemory:
		r.say(outOfMemoryError())
	case BackendLost, BackendFraming:
		r.say(&pgwire.Error{
			Severity: pgwire.SeverityFatal,
			Code:     pgwire.ConnectionFailure,
			Message:  "the connection to the database server was lost",
			Hint:     "What was running may or may not have taken effect. Connect again, and look.",
		})
	case ClientFraming:
		r.say(adriftError())
	case ClientGone, Fault:
		if r.opt.Machine.Outstanding() {
			r.stopWork(func() {})
		}
	default:
	}
	return p.cause, p.err
}

func unrecordedError() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.IOError,
		Message:  "terminating connection because an audit record could not be written",
		Hint:     "What was running may or may not have taken effect. Tell the proxy's operator.",
	}
}

func outOfMemoryError() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.OutOfMemory,
		Message:  "out of memory",
		Detail:   "The proxy's memory budget is used up.",
		Hint:     "Connect again later, with smaller messages, and read the results.",
	}
}

func adriftError() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.ProtocolViolation,
		Message:  relay.ErrAdrift.Error(),
		Hint:     "Send Sync behind CopyDone or CopyFail only.",
	}
}

// end ends the session for a reason of the proxy's own.
func (r *Relay) end(backend chan part) {
	r.opt.Machine.Halt()
	settled := func() {
		// The backend's direction is woken, and given a moment to bring the message
		// at hand to its end.
		_ = r.opt.Client.SetWriteDeadline(time.Now().Add(time.Second))
		_ = r.opt.Backend.SetReadDeadline(time.Now().Add(settleTime))
		<-backend
		r.say(r.farewell.Load())
	}
	if phase, _ := r.opt.Machine.Activity(); phase == relay.PhaseActive {
		r.stopWork(settled)
	} else {
		settled()
	}
	if r.opt.Machine.MayTerminate() {
		_ = r.opt.Backend.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = r.opt.Backend.Write([]byte{pgwire.Terminate, 0, 0, 0, 4})
	}
}

// settleTime is how long the answer to a cancel may take to come through before
// the client is told goodbye.
const settleTime = 100 * time.Millisecond

// say sends the client a message of the proxy's own, where one may stand. The
// backend's direction must have ended: there is one writer for each socket.
func (r *Relay) say(e *pgwire.Error) {
	if e == nil || !r.opt.Machine.Boundary() {
		return
	}
	told := *e
	if told.Incident == "" && r.opt.Incident != nil {
		told.Incident = r.opt.Incident()
	}
	r.incident = told.Incident
	_ = r.opt.Client.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = r.opt.Client.Write(told.Append(nil))
}

// Incident returns the id that the client was told at the end, "" where it was
// told nothing. It is settled when Run has returned.
func (r *Relay) Incident() string { return r.incident }

// closeClient ends the client's connection so that what was written arrives:
// close_notify, then the end of the stream, and what the client still sends is
// read for a moment, for a reset would overtake the last words.
func closeClient(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(lingerTime))
	closeWrite(c)
}

// closeWrite ends what is sent: inside TLS, and below it.
func closeWrite(c net.Conn) {
	for c != nil {
		if w, ok := c.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
		n, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = n.NetConn()
	}
}

const lingerTime = 500 * time.Millisecond
