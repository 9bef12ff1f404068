package driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/handover"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// part is how one direction ended.
type part struct {
	cause Cause
	err   error
	late  bool   // of a client that closed its side: its time of grace is over
	cut   []byte // and what came of the header of a message that it began
}

// contained runs a direction, and turns a panic into its end.
func (r *Relay) contained(loop func() part) (p part) {
	defer func() {
		if v := recover(); v != nil {
			p = r.faulted(v, debug.Stack())
		}
	}()
	return loop()
}

// clientLoop moves the client's bytes to the backend until the client ends. It goes
// on where an event loop stood.
func (r *Relay) clientLoop() part {
	buf := &r.client.buf
	defer buf.free()
	var out relay.Output
	if p, ended := r.takeUp(buf, &out); ended {
		return p
	}
	for {
		err := buf.fill(r.opt.Client)
		if p, ended := r.forward(buf, &out); ended {
			return p
		}
		if errors.Is(err, errNoMemory) {
			return part{cause: OutOfMemory, err: err}
		}
		if err != nil {
			p := clientError(err, r.opt.Machine)
			p.cut = bytes.Clone(buf.bytes()[:min(buf.len(), pgwire.HeaderSize)])
			return p
		}
	}
}

// takeUp goes on with what an event loop has left of the client's direction.
func (r *Relay) takeUp(buf *buffer, out *relay.Output) (p part, ended bool) {
	if err := r.settleBackend(); err != nil {
		r.sever()
	} else if r.wrote {
		r.allSent()
	}
	if e := r.errand; e != nil {
		if p, ended := r.conclude(e, buf); ended {
			return p, true
		}
	}
	if r.client.end != nil {
		return *r.client.end, true
	}
	return r.forward(buf, out)
}

// settle sends what an event loop has left unsent.
func settle(c net.Conn) error {
	if h := handover.Of(c); h != nil {
		return h.Settle()
	}
	return nil
}

func (r *Relay) settleBackend() error {
	r.lookout.begin()
	defer r.lookout.end()
	return settle(r.opt.Backend)
}

// give sends to the backend, which may be slow to take it.
func (r *Relay) give(chunks ...[]byte) error {
	r.lookout.begin()
	defer r.lookout.end()
	return write(r.opt.Backend, chunks)
}

// forward gives the machine what has come from the client, until it needs more.
func (r *Relay) forward(buf *buffer, out *relay.Output) (p part, ended bool) {
	more := true
	for more && buf.len() > 0 {
		out.Reset()
		n, next := r.opt.Machine.Client(r.opt.Now(), buf.bytes(), out)
		p, ended, more = r.carryOut(buf, out, n, next)
	}
	return p, ended
}

// carryOut does what a step of the machine asks for. more tells that it may be asked
// again.
func (r *Relay) carryOut(buf *buffer, out *relay.Output, n int, next relay.Next) (p part, ended, more bool) {
	if p, ended, ok := r.send(out); !ok {
		buf.take(buf.len())
		return p, ended, false
	}
	if next == relay.JudgeText {
		// The text is a range of the buffer, which take moves: invariant 6.
		text, encoding := r.opt.Machine.Text()
		r.opt.Machine.Judged(r.opt.Judge.Judge(r.judging, text, encoding))
	}
	return r.goOn(buf, out, n, next)
}

// goOn takes what the machine is done with, and waits for what it waits for.
func (r *Relay) goOn(buf *buffer, out *relay.Output, n int, next relay.Next) (p part, ended, more bool) {
	buf.take(n)
	switch next {
	case relay.JudgeText, relay.Again:
	case relay.Spool:
		p, ended = r.spool(buf, out)
	case relay.More:
		buf.want(min(r.opt.Machine.Want(), r.opt.MaxMessage))
		return part{}, false, false
	case relay.Full:
		if !r.awaitDrain() {
			return part{cause: ClientClosed}, true, false
		}
	case relay.Cancelling:
		if !r.awaitCalm() {
			return part{cause: ClientClosed}, true, false
		}
	case relay.Terminated:
		buf.take(buf.len())
		return part{}, false, false
	case relay.Broken, relay.Adrift:
		p, ended = lostFraming(next), true
	}
	return p, ended, !ended
}

// lostFraming is how the client's direction ends that cannot be followed.
func lostFraming(next relay.Next) part {
	if next == relay.Adrift {
		return part{cause: ClientFraming, err: relay.ErrAdrift}
	}
	return part{cause: ClientFraming}
}

// send waits for the record that the output rests on, and writes it. Where ok is
// false, nothing more goes to the backend.
func (r *Relay) send(out *relay.Output) (p part, ended, ok bool) {
	if out.Durable {
		if err := r.opt.Recorder.Wait(r.judging, out.Receipt); err != nil {
			return part{cause: Unrecorded, err: err}, true, false
		}
	}
	if err := r.give(out.Chunks...); err != nil {
		r.sever()
		return part{}, false, false
	}
	r.allSent()
	return part{}, false, true
}

// sever notes that the backend takes nothing more. Its direction tells why it closed,
// where it says so: it is heard for a moment yet, each time that it is waited for.
func (r *Relay) sever() {
	r.opt.Machine.Lost()
	r.severed.Store(true)
	r.hearLast()
}

func (r *Relay) hearLast() {
	// While an event loop has the connection it has no deadlines, and waits for nothing.
	_ = r.opt.Backend.SetReadDeadline(time.Now().Add(lastHeard))
}

// lastHeard is how long a backend that takes nothing more may be silent.
const lastHeard = time.Second

// allSent tells the machine that all it wanted sent is, and sends a cancel behind that
// which was kept for it.
func (r *Relay) allSent() {
	r.wrote = false
	if r.opt.Machine.Sent() {
		r.cancels.Go(func() {
			defer r.opt.Machine.Passed()
			ctx, stop := context.WithTimeout(context.Background(), passGrace)
			defer stop()
			_ = r.opt.Cancel(ctx)
		})
	}
}

// passGrace is how long a cancel may take to the backend. The client's next statement
// waits for it.
const passGrace = 10 * time.Second

// awaitCalm waits until no cancel is on its way to the backend.
func (r *Relay) awaitCalm() bool {
	select {
	case <-r.opt.Machine.Calm():
		return true
	case <-r.judging.Done():
		return false
	}
}

// awaitDrain waits until the backend has answered something.
func (r *Relay) awaitDrain() bool {
	r.braking.Store(true)
	defer r.braking.Store(false)
	if r.opt.Machine.Room() {
		return true // what there was to answer has been, before anybody knew who waits
	}
	r.lookout.begin()
	defer r.lookout.end()
	select {
	case <-r.drained:
		return true
	case <-r.judging.Done():
		return false
	}
}

// backendLoop moves the backend's bytes to the client until the backend ends. It
// goes on where an event loop stood.
func (r *Relay) backendLoop() part {
	buf := &r.backend.buf
	defer buf.free()
	var out relay.Output
	if err := settle(r.opt.Client); err != nil {
		return part{cause: ClientGone, err: err}
	}
	if r.backend.end != nil {
		return *r.backend.end
	}
	for {
		if r.severed.Load() {
			r.hearLast()
		}
		readErr := buf.fill(r.opt.Backend)
		out.Reset()
		n, err := r.opt.Machine.Backend(r.opt.Now(), buf.bytes(), &out)
		if writeErr := write(r.opt.Client, out.Chunks); writeErr != nil {
			return part{cause: ClientGone, err: writeErr}
		}
		buf.take(n)
		if r.braking.Load() {
			select {
			case r.drained <- struct{}{}:
			default:
			}
		}
		switch {
		case err != nil:
			return backendError(err)
		case errors.Is(readErr, errNoMemory):
			return part{cause: OutOfMemory, err: readErr}
		case readErr != nil:
			return part{cause: BackendClosed, err: readErr}
		}
	}
}

// backendError is how the backend's direction ends by an error of the machine.
func backendError(err error) part {
	switch {
	case errors.Is(err, relay.ErrBackendFraming):
		return part{cause: BackendFraming, err: err}
	case errors.Is(err, relay.ErrAdrift):
		return part{cause: ClientFraming, err: err}
	default:
		return part{cause: Unrecorded, err: err}
	}
}

// write sends the chunks in their order.
func write(c net.Conn, chunks [][]byte) error {
	for _, b := range chunks {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// clientError tells a side that was closed from a connection that broke. A
// client that does not send close_notify has closed all the same.
func clientError(err error, m *relay.Machine) part {
	switch {
	case m.Parted():
		return part{cause: ClientTerminated}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return part{cause: ClientClosed}
	default:
		return part{cause: ClientGone, err: err}
	}
}
