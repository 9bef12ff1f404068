package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/spool"
)

// Options are what a driver moves bytes between, and whom it asks.
type Options struct {
	Client, Backend net.Conn // owned by the driver from New on
	Machine         *relay.Machine
	Judge           statement.Judge
	Recorder        audit.Recorder
	// Cancel asks the backend to cancel what the session runs.
	Cancel func(context.Context) error
	// Now is the clock of the machine, in nanoseconds.
	Now func() int64
	// ClientGoneGrace is how long a statement may go on whose client closed its
	// side.
	ClientGoneGrace time.Duration
	// Incident makes an id for what the driver itself tells the client; may be nil.
	Incident func() string
	// MaxMessage bounds the buffer for a message that has to be there whole.
	MaxMessage int
	// Spool keeps messages that are too large to be held; nil where the machine asks
	// for none. Principal is whose they are.
	Spool     *spool.Store
	Principal string
	// MaxText is the longest text, in bytes, that Judge reads. A spooled one that is
	// longer is masked on its way to the record, and UNKNOWN.
	MaxText int
}

// Cause says why a session ended. It stands in records.
type Cause string

// The causes of an end.
const (
	ClientTerminated Cause = "client_terminated" // it said goodbye
	ClientClosed     Cause = "client_closed"     // it closed its side
	ClientGone       Cause = "client_gone"       // the connection broke
	ClientFraming    Cause = "client_framing"    // it sent what is no message
	BackendClosed    Cause = "backend_closed"    // it said why, or was told to
	BackendLost      Cause = "backend_lost"      // it went away without a word
	BackendFraming   Cause = "backend_framing"   // it sent what is no message
	Ended            Cause = "ended"             // by End
	Unrecorded       Cause = "unrecorded"        // something could not be written down
	Fault            Cause = "fault"             // the proxy met a fault of its own
	SpoolLost        Cause = "spool_lost"        // what was kept of a large message could not be read while it was forwarded
)

// Relay drives one session. Run is called once; End may be called from anywhere.
type Relay struct {
	opt Options

	farewell atomic.Pointer[pgwire.Error]
	ending   chan struct{} // closed by End
	endOnce  sync.Once

	judging context.Context // ends with Run
	drained chan struct{}   // a token: the backend answered something
	braking atomic.Bool     // the client's direction waits for that

	fault    atomic.Pointer[fault] // the first
	incident string                // owned by Run: of the last words to the client
}

// New makes a driver. It starts nothing.
func New(opt Options) *Relay {
	return &Relay{opt: opt, ending: make(chan struct{}), drained: make(chan struct{}, 1)}
}

// End makes Run return soon: what runs is cancelled, the client is told e where
// a message may stand, and both connections are closed. Only the first call
// counts.
func (r *Relay) End(e *pgwire.Error) {
	r.endOnce.Do(func() {
		r.farewell.Store(e)
		close(r.ending)
	})
}

// Run moves bytes until either side ends, or End is called. It closes both
// connections and joins its goroutines before it returns.
func (r *Relay) Run(ctx context.Context) (Cause, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.judging = ctx
	client, backend := make(chan part, 1), make(chan part, 1)
	var wg sync.WaitGroup
	wg.Go(func() { client <- r.contained(r.clientLoop) })
	wg.Go(func() { backend <- r.contained(r.backendLoop) })

	cause, err := r.await(client, backend)

	cancel()
	r.opt.Machine.Halt()
	_ = r.opt.Backend.Close()
	closeClient(r.opt.Client)
	wg.Wait()
	_ = r.opt.Client.Close()
	if f := r.fault.Load(); f != nil {
		defer panic(f)
	}
	r.opt.Machine.Finish()
	return cause, err
}

// fault is a panic of a direction. Run raises it again where its caller can
// recover, when both connections are closed: it ends this session alone
// (invariant 9).
type fault struct {
	value any
	stack []byte
}

// Error implements error.
func (f *fault) Error() string { return fmt.Sprintf("%v\n%s", f.value, f.stack) }

func (r *Relay) contained(loop func() part) (p part) {
	defer func() {
		if v := recover(); v != nil {
			f := &fault{value: v, stack: debug.Stack()}
			r.fault.CompareAndSwap(nil, f)
			p = part{Fault, f}
		}
	}()
	return loop()
}

// part is how one direction ended.
type part struct {
	cause Cause
	err   error
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
	if p.cause == ClientClosed || p.cause == ClientTerminated || p.cause == ClientFraming {
		if p.cause != ClientTerminated && m.MayTerminate() {
			_ = r.opt.Backend.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = r.opt.Backend.Write([]byte{pgwire.Terminate, 0, 0, 0, 4})
		} else if m.InCopy() {
			return p.cause, p.err
		}
		if r.waitFor(backend, r.opt.ClientGoneGrace) {
			return p.cause, p.err
		}
	}
	if m.Outstanding() {
		r.cancel()
		r.waitFor(backend, cancelGrace)
	}
	return p.cause, p.err
}

// cancelGrace is how long the backend may take to notice a cancel.
const cancelGrace = 2 * time.Second

func (r *Relay) cancel() {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	_ = r.opt.Cancel(ctx)
}

// waitFor reports whether the backend's direction ends in time.
func (r *Relay) waitFor(backend chan part, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-backend:
		return true
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
	case !r.opt.Machine.Parted():
		p.cause = BackendLost
	}
	switch p.cause {
	case Unrecorded:
		r.say(unrecordedError())
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
			r.cancel()
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
	phase, _ := r.opt.Machine.Activity()
	if phase == relay.PhaseActive {
		r.cancel()
	}
	// The backend's direction is woken, and given a moment to bring the message
	// at hand to its end.
	_ = r.opt.Client.SetWriteDeadline(time.Now().Add(time.Second))
	_ = r.opt.Backend.SetReadDeadline(time.Now().Add(settleTime))
	<-backend
	r.say(r.farewell.Load())
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
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	if n, ok := c.(interface{ NetConn() net.Conn }); ok {
		if w, ok := n.NetConn().(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
}

const lingerTime = 500 * time.Millisecond
