package driver

import (
	"errors"
	"io"
	"net"

	"github.com/pgcustos/pgcustos/proxy/relay"
)

// clientLoop moves the client's bytes to the backend until the client ends.
func (r *Relay) clientLoop() part {
	var buf buffer
	defer buf.free()
	var out relay.Output
	for {
		err := buf.fill(r.opt.Client)
		if p, ended := r.forward(&buf, &out); ended {
			return p
		}
		if err != nil {
			return clientError(err, r.opt.Machine)
		}
	}
}

// forward gives the machine what has come from the client, until it needs more.
func (r *Relay) forward(buf *buffer, out *relay.Output) (p part, ended bool) {
	m := r.opt.Machine
	for buf.len() > 0 {
		out.Reset()
		n, next := m.Client(r.opt.Now(), buf.bytes(), out)
		if p, ended, ok := r.send(out); !ok {
			buf.take(buf.len())
			return p, ended
		}
		if next == relay.JudgeText {
			// The text is a range of the buffer, which take moves: invariant 6.
			text, encoding := m.Text()
			m.Judged(r.opt.Judge.Judge(r.judging, text, encoding))
		}
		buf.take(n)
		switch next {
		case relay.JudgeText:
		case relay.Spool:
			if p, ended = r.spool(buf, out); ended {
				return p, ended
			}
		case relay.More:
			buf.want(min(m.Want(), r.opt.MaxMessage))
			return part{}, false
		case relay.Full:
			if !r.awaitDrain() {
				return part{ClientClosed, nil}, true
			}
		case relay.Terminated:
			buf.take(buf.len())
			return part{}, false
		case relay.Broken:
			return part{ClientFraming, nil}, true
		case relay.Adrift:
			return part{ClientFraming, relay.ErrAdrift}, true
		}
	}
	return part{}, false
}

// send waits for the record that the output rests on, and writes it. Where ok is
// false, nothing more goes to the backend.
func (r *Relay) send(out *relay.Output) (p part, ended, ok bool) {
	if out.Durable {
		if err := r.opt.Recorder.Wait(r.judging, out.Receipt); err != nil {
			return part{Unrecorded, err}, true, false
		}
	}
	if err := write(r.opt.Backend, out.Chunks); err != nil {
		// The backend's direction tells why it closed.
		r.opt.Machine.Halt()
		return part{}, false, false
	}
	return part{}, false, true
}

// awaitDrain waits until the backend has answered something.
func (r *Relay) awaitDrain() bool {
	r.braking.Store(true)
	defer r.braking.Store(false)
	select {
	case <-r.drained:
		return true
	case <-r.judging.Done():
		return false
	}
}

// backendLoop moves the backend's bytes to the client until the backend ends.
func (r *Relay) backendLoop() part {
	var buf buffer
	defer buf.free()
	var out relay.Output
	for {
		readErr := buf.fill(r.opt.Backend)
		out.Reset()
		n, err := r.opt.Machine.Backend(r.opt.Now(), buf.bytes(), &out)
		if writeErr := write(r.opt.Client, out.Chunks); writeErr != nil {
			return part{ClientGone, writeErr}
		}
		buf.take(n)
		if r.braking.Load() {
			select {
			case r.drained <- struct{}{}:
			default:
			}
		}
		switch {
		case errors.Is(err, relay.ErrBackendFraming):
			return part{BackendFraming, err}
		case errors.Is(err, relay.ErrAdrift):
			return part{ClientFraming, err}
		case err != nil:
			return part{Unrecorded, err}
		case readErr != nil:
			return part{BackendClosed, readErr}
		}
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
		return part{ClientTerminated, nil}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return part{ClientClosed, nil}
	default:
		return part{ClientGone, err}
	}
}
