package statement

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// MemoryVariable is the one environment variable that a worker gets: the bytes
// of data that it may use.
const MemoryVariable = "PGCUSTOS_PARSER_MEMORY"

// worker is one parser process, as its parent sees it. It is lent to one text
// at a time.
type worker struct {
	cmd *exec.Cmd
	in  *os.File // its standard input
	out *os.File // its standard output

	lost  chan struct{} // closed by reap when the process has ended
	ended string        // how; set before lost is closed

	mu       sync.Mutex // held by whoever the worker is lent to
	question []byte     // kept to be used again
	answer   []byte
	asked    bool
	fault    Death // why it was given up

	over bool // guarded by the pool: nothing more will come of it
}

// startWorker starts a process. It must be called from the goroutine that is
// locked to the pool's own thread: the process dies with the thread.
func startWorker(command []string, memory uint64) (*worker, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{MemoryVariable + "=" + strconv.FormatUint(memory, 10)}
	cmd.Dir = "/"
	cmd.SysProcAttr = attributes()
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("parser worker: %w", err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		childIn.Close()
		in.Close()
		return nil, fmt.Errorf("parser worker: %w", err)
	}
	cmd.Stdin, cmd.Stdout = childIn, childOut
	err = cmd.Start()
	childIn.Close()
	childOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("parser worker: %w", err)
	}
	return &worker{cmd: cmd, in: in, out: out, lost: make(chan struct{})}, nil
}

// reap waits for the end of the process. It is called once, by the supervisor.
func (w *worker) reap() {
	err := w.cmd.Wait()
	w.ended = "exit status 0"
	if err != nil {
		w.ended = err.Error()
	}
	close(w.lost)
}

// discard closes the pipes, when nobody asks any more: whoever was asking when the
// worker died still looks how much it had read.
func (w *worker) discard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in.Close()
	w.out.Close()
}

// ready waits for the worker's word that it is confined.
func (w *worker) ready(deadline time.Time) error {
	if err := w.out.SetDeadline(deadline); err != nil {
		return fmt.Errorf("parser worker: %w", err)
	}
	if _, err := readFrame(w.out, nil, 0); err != nil {
		return fmt.Errorf("parser worker is not ready: %w", err)
	}
	return nil
}

// ask has the worker judge a text until the deadline, or until ctx ends. Without
// a judgement there is a cause, and the worker is of no use any more; again says
// that it was dead before it had read anything of the text.
func (w *worker) ask(ctx context.Context, text string, deadline time.Time) (j *Judgement, cause Cause, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	release, err := w.limit(ctx, deadline)
	if err != nil {
		return nil, CauseParser, true
	}
	defer release()
	defer func() { w.question, w.answer = kept(w.question), kept(w.answer) }()
	if w.question, err = writeFrame(w.in, w.question, text); err != nil {
		cause = w.failed(text, "while it was asked", err)
		w.asked = w.asked || cause == CauseTimeout // it did not die by itself
		return nil, cause, cause != CauseTimeout
	}
	w.asked = true
	if w.answer, err = readFrame(w.out, w.answer, maxAnswer(len(text))); err != nil {
		cause = w.failed(text, "while it was to answer", err)
		return nil, cause, cause != CauseTimeout && unread(w.in) == len(w.question)
	}
	if j, err = ParseJudgement(w.answer, text); err != nil {
		return nil, w.failed(text, "while it was to answer", err), false
	}
	return j, CauseNone, false
}

// limit ends whatever waits for the worker at the deadline, or with ctx, until
// it is released.
func (w *worker) limit(ctx context.Context, deadline time.Time) (release func(), err error) {
	if err := errors.Join(w.in.SetDeadline(deadline), w.out.SetDeadline(deadline)); err != nil {
		return nil, fmt.Errorf("parser worker: %w", err)
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		past := time.Unix(1, 0)
		// They fail only if the worker is gone, which the reading tells.
		_ = w.in.SetDeadline(past)
		_ = w.out.SetDeadline(past)
	})
	return func() {
		if !stop() {
			<-cut // else it could cut the next text short
		}
	}, nil
}

// failed notes why the worker is given up.
func (w *worker) failed(text, while string, err error) Cause {
	w.fault = Death{Cause: causeOf(err), Bytes: len(text), Detail: while + ": " + err.Error()}
	return w.fault.Cause
}

func causeOf(err error) Cause {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return CauseTimeout
	}
	return CauseParser
}

// kill ends the process at once. It may have ended before.
func (w *worker) kill() { _ = w.cmd.Process.Kill() }

// obituary tells how the worker ended, and if it was ever asked anything. It
// waits for whoever the worker is lent to.
func (w *worker) obituary() (d Death, asked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d = w.fault
	if d.Detail != "" {
		d.Detail += ": "
	}
	d.Detail += w.ended
	d.PID = w.cmd.Process.Pid
	return d, w.asked
}
