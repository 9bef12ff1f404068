package statement

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pool keeps parser workers running and lends them out, one text at a time.
//
// Each worker has a supervisor, a goroutine that starts it, waits for its end
// and starts the next one. Workers that are free stand in idle; who finds none
// waits in line, where principals take turns. Long texts have a line of their own, and
// one worker is not for them: whoever has a short text waits for no long one.
type pool struct {
	options Options
	command []string
	hooks   Hooks

	starts chan startRequest // to the thread that starts processes
	open   context.Context   // ended by cancel: the pool's own life
	cancel context.CancelFunc
	wg     sync.WaitGroup

	deaths  atomic.Uint64
	running atomic.Int64

	mu      sync.Mutex
	idle    []*worker
	lines   [2]line // for short texts, and for long ones
	turn    length  // that is served first, where both may be
	long    int     // workers that were given for long texts and are not done with them
	alive   int     // workers that are there, and not given up
	resting int     // supervisors that wait before they start a worker again
	closed  bool
}

// length is what of a text's length matters for who is served first.
type length uint8

const (
	short length = iota
	long
)

// longText is the length, in bytes, from which a text is long: one below it is read
// in a few milliseconds.
const longText = 8 << 10

func lengthOf(text string) length {
	if len(text) >= longText {
		return long
	}
	return short
}

type startRequest struct{ answer chan startAnswer }

type startAnswer struct {
	worker *worker
	err    error
}

const (
	readyWithin  = 10 * time.Second      // from the start of a process to its word
	shortestRest = 50 * time.Millisecond // after a worker that was never asked
	longestRest  = 5 * time.Second
)

var errClosed = errors.New("the parser pool is closed")

func openPool(opts Options, command []string, hooks Hooks) (*pool, error) {
	if len(command) == 0 {
		return nil, errors.New("parser worker: no command")
	}
	p := &pool{
		options: opts, command: command, hooks: hooks,
		starts: make(chan startRequest),
	}
	p.open, p.cancel = context.WithCancel(context.Background())
	p.wg.Add(1)
	go p.starter()
	for range opts.Workers {
		w, err := p.start()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("%s: %w", command[0], err)
		}
		p.wg.Add(1)
		go p.supervise(w)
	}
	return p, nil
}

// starter starts processes from one thread that lives as long as the pool,
// because the kernel ends them with the thread that started them
// (PR_SET_PDEATHSIG, prctl(2)).
func (p *pool) starter() {
	defer p.wg.Done()
	runtime.LockOSThread()
	for {
		select {
		case r := <-p.starts:
			w, err := startWorker(p.command, p.options.Memory)
			r.answer <- startAnswer{w, err}
		case <-p.open.Done():
			// Other workers may still be ending: not unlocking ends the thread, and
			// what is left of them with it.
			return
		}
	}
}

// start starts a worker and waits for it to be ready.
func (p *pool) start() (*worker, error) {
	r := startRequest{make(chan startAnswer, 1)}
	select {
	case p.starts <- r:
	case <-p.open.Done():
		return nil, errClosed
	}
	a := <-r.answer
	if a.err != nil {
		return nil, a.err
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		a.worker.reap()
	}()
	stop := context.AfterFunc(p.open, a.worker.kill)
	defer stop()
	if err := a.worker.ready(time.Now().Add(readyWithin)); err != nil {
		a.worker.kill()
		<-a.worker.lost
		a.worker.discard()
		return nil, fmt.Errorf("%w (%s)", err, a.worker.ended)
	}
	p.running.Add(1)
	return a.worker, nil
}

// supervise keeps one worker running.
func (p *pool) supervise(w *worker) {
	defer p.wg.Done()
	rest := time.Duration(0)
	for {
		if w != nil {
			p.welcome(w)
			select {
			case <-w.lost:
			case <-p.open.Done():
				w.kill()
				<-w.lost
				w.discard()
				p.running.Add(-1)
				return
			}
			rest = nextRest(rest, p.bury(w))
		}
		if !p.sleep(rest) {
			return
		}
		var err error
		if w, err = p.start(); err != nil {
			w, rest = nil, nextRest(rest, false)
			p.died(Death{Detail: err.Error()})
		}
	}
}

// nextRest returns how long to wait before the next start: not at all after a
// worker that died of a text, else whoever sends such texts could keep everybody
// waiting; longer each time after one that dies by itself.
func nextRest(rest time.Duration, asked bool) time.Duration {
	if asked {
		return 0
	}
	return min(max(2*rest, shortestRest), longestRest)
}

// sleep waits, and tells if the pool is still open. Where every worker rests,
// nobody is left waiting for one.
func (p *pool) sleep(rest time.Duration) bool {
	if rest > 0 {
		p.mu.Lock()
		p.resting++
		if p.resting == p.options.Workers {
			p.dismiss()
		}
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			p.resting--
			p.mu.Unlock()
		}()
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.open.Done():
		return false
	}
}

// bury takes a worker that has ended off the list, tells of it, and returns if
// it was ever asked anything.
func (p *pool) bury(w *worker) bool {
	p.running.Add(-1)
	p.giveUp(w)
	p.mu.Lock()
	p.idle = slices.DeleteFunc(p.idle, func(i *worker) bool { return i == w })
	p.mu.Unlock()
	d, asked := w.obituary()
	w.discard()
	p.died(d)
	return asked
}

func (p *pool) died(d Death) {
	if p.open.Err() != nil {
		return
	}
	p.deaths.Add(1)
	if p.hooks.Died != nil {
		p.hooks.Died(d)
	}
}

// welcome takes a worker in that was started.
func (p *pool) welcome(w *worker) {
	p.mu.Lock()
	p.alive++
	p.mu.Unlock()
	p.put(w)
}

// giveUp says that nothing more will come of a worker.
func (p *pool) giveUp(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.over {
		w.over = true
		p.alive--
	}
}

// put lays a worker ready.
func (p *pool) put(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.lost:
		return
	default:
	}
	p.idle = append(p.idle, w)
	p.serve()
}

// serve gives the workers that are free to those in line. The lock is held.
func (p *pool) serve() {
	for len(p.idle) > 0 {
		c := p.next()
		if c == nil {
			return
		}
		n := len(p.idle) - 1
		c <- p.idle[n]
		p.idle = p.idle[:n]
	}
}

// next takes out of the lines whose turn it is, nil where nobody may be served. The lock
// is held.
func (p *pool) next() chan *worker {
	for range p.lines {
		l := p.turn
		p.turn = 1 - p.turn
		if l == long && !p.mayBeLong() {
			continue
		}
		if c := p.lines[l].next(); c != nil {
			if l == long {
				p.long++
			}
			return c
		}
	}
	return nil
}

// mayBeLong tells whether a worker may be given for a long text: where there is another
// then, or is to be none for now. The lock is held.
func (p *pool) mayBeLong() bool {
	left := p.alive - p.long
	return left > 1 || left > 0 && (p.options.Workers == 1 || p.resting > 0)
}

// done is told when a worker is done with a text, or dead.
func (p *pool) done(l length) {
	if l == short {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.long--
	p.serve()
}

// dismiss sends everybody in line away. The lock is held.
func (p *pool) dismiss() {
	for i := range p.lines {
		for c := p.lines[i].next(); c != nil; c = p.lines[i].next() {
			c <- nil
		}
	}
}

// waiting returns how many wait in line.
func (p *pool) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[short].size + p.lines[long].size
}

// take returns a free worker, or nil and why there is none: CauseTimeout where
// none was free by the deadline.
func (p *pool) take(ctx context.Context, principal string, l length, deadline time.Time) (*worker, Cause) {
	p.mu.Lock()
	if p.closed || p.resting == p.options.Workers {
		p.mu.Unlock()
		return nil, CauseParser
	}
	c := p.lines[l].join(principal)
	p.serve()
	p.mu.Unlock()
	select {
	case w := <-c:
		return w, either(w == nil, CauseParser)
	default:
	}

	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case w := <-c:
		return w, either(w == nil, CauseParser)
	case <-t.C:
	case <-ctx.Done():
	}
	return p.leave(principal, l, c)
}

// leave takes a place in line back; a worker may just have been given to it.
func (p *pool) leave(principal string, l length, c chan *worker) (*worker, Cause) {
	p.mu.Lock()
	p.lines[l].leave(principal, c)
	p.mu.Unlock()
	select {
	case w := <-c:
		return w, either(w == nil, CauseParser)
	default:
		return nil, CauseTimeout
	}
}

func either(yes bool, c Cause) Cause {
	if yes {
		return c
	}
	return CauseNone
}

// ask has a worker judge the text, and another one if that was dead before it had
// read it. Without a judgement there is a cause. The clock of the text begins when
// a worker has it, so that nobody's time is spent by those before him in line.
func (p *pool) ask(ctx context.Context, principal, text string) (*Judgement, Cause) {
	deadline, l := time.Now().Add(p.options.Wait), lengthOf(text)
	for range p.options.Workers + 1 {
		w, cause := p.take(ctx, principal, l, deadline)
		if w == nil {
			return nil, cause
		}
		j, cause, again := w.ask(ctx, text, time.Now().Add(p.options.Timeout))
		if cause != CauseNone {
			p.giveUp(w)
		}
		p.done(l)
		if cause == CauseNone {
			p.put(w)
			return j, CauseNone
		}
		w.kill() // the supervisor starts the next one
		if !again {
			return nil, cause
		}
	}
	return nil, CauseParser
}

// close ends the workers and all goroutines of the pool.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.dismiss()
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
}
