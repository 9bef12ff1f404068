package driver

import (
	"runtime/debug"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// errand is what the client's direction waits for while a loop goes on: a goroutine
// runs it. When done is closed, what follows is settled.
type errand struct {
	kind errandKind
	done chan struct{}

	out  *relay.Output
	n    int
	next relay.Next

	text      []byte // a range of the client's buffer, which is left alone meanwhile
	encoding  statement.Encoding
	judgement *statement.Judgement
	err       error // of the recorder
	fault     *part
}

type errandKind uint8

const (
	awaitRecord errandKind = iota // until it survives a loss of power; then out is sent
	judgeText                     // out was sent
	takeStep                      // of the machine, that may wait for a file; nothing was sent
	awaitCalm                     // no cancel is to be on its way; nothing follows
)

// perform runs the errand. It may wait for anything.
func (r *Relay) perform(e *errand) {
	defer close(e.done)
	defer func() {
		if v := recover(); v != nil {
			p := r.faulted(v, debug.Stack())
			e.fault = &p
		}
	}()
	switch e.kind {
	case awaitRecord:
		e.err = r.opt.Recorder.Wait(r.judging, e.out.Receipt)
	case judgeText:
		e.judgement = r.opt.Judge.Judge(r.judging, e.text, e.encoding)
	case awaitCalm:
		r.awaitCalm()
	case takeStep:
		e.n, e.next = r.opt.Machine.Client(r.opt.Now(), r.client.buf.bytes(), e.out)
	}
}

// conclude waits for an errand that a loop has begun, and does what was to follow.
func (r *Relay) conclude(e *errand, buf *buffer) (p part, ended bool) {
	<-e.done
	switch {
	case e.fault != nil:
		return *e.fault, true
	case e.err != nil:
		return part{cause: Unrecorded, err: e.err}, true
	case e.kind == awaitCalm:
		return part{}, false
	case e.kind == judgeText:
		r.opt.Machine.Judged(e.judgement)
		p, ended, _ = r.goOn(buf, e.out, e.n, e.next)
		return p, ended
	}
	if e.kind == awaitRecord {
		e.out.Durable = false
	}
	p, ended, _ = r.carryOut(buf, e.out, e.n, e.next)
	return p, ended
}
