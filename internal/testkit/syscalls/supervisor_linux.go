package syscalls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Supervisor watches the calls of one program, and of the next when that has ended.
type Supervisor struct {
	watched map[int]bool // static
	calls   atomic.Uint64

	work   sync.WaitGroup
	stop   *os.File // ends the work when it is closed
	stops  *os.File
	mu     sync.Mutex
	errs   []error                // guarded by mu, as what follows
	socket map[*net.UnixConn]bool // where a listener is to come from
	plan   *Fault
	seen   int // calls that the plan counts
	hits   int // calls that failed
	held   *Held
	// theirs are the programs' ends, which stay until Close: whoever starts a program reads
	// their numbers until it has started, and nobody tells when that is.
	theirs []*os.File
}

// New makes a supervisor of some calls, unix.SYS_….
func New(calls ...int) (*Supervisor, error) {
	s := &Supervisor{watched: map[int]bool{}, socket: map[*net.UnixConn]bool{}}
	for _, number := range calls {
		if known[number].name == "" {
			return nil, fmt.Errorf("syscalls: %d is not one of those that are known", number)
		}
		s.watched[number] = true
	}
	var err error
	s.stops, s.stop, err = os.Pipe()
	return s, err
}

// Arm counts from now on, and has a call fail.
func (s *Supervisor) Arm(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.seen, s.hits = &f, 0, 0
}

// Disarm has no call fail any more, and returns how many were counted and how many
// of them failed.
func (s *Supervisor) Disarm() (seen, hits int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = nil
	return s.seen, s.hits
}

// Held are calls that wait.
type Held struct {
	about Fault
	gate  chan struct{}
	open  func()
	n     atomic.Int32
}

// Hold has all calls wait that a fault is about, until they are released: a disk that
// takes its time.
func (s *Supervisor) Hold(about Fault) *Held {
	h := &Held{about: about, gate: make(chan struct{})}
	h.open = sync.OnceFunc(func() { close(h.gate) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
	return h
}

// Calls is how many have come to wait.
func (h *Held) Calls() int { return int(h.n.Load()) }

// Release has those go on that wait, and all that come. It may be called more than once,
// and has to be before the program ends.
func (h *Held) Release() { h.open() }

// waits says where a call has to wait.
func (s *Supervisor) waits(c *call) *Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil || !s.held.about.counts(c) {
		return nil
	}
	return s.held
}

// Quiet waits until no call was made for a while, or ctx ends.
func (s *Supervisor) Quiet(ctx context.Context, while time.Duration) error {
	tick := time.NewTicker(while)
	defer tick.Stop()
	for before := s.calls.Load(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := s.calls.Load()
		if now == before {
			return nil
		}
		before = now
	}
}

// Close ends the supervision, when the program has ended. The error is the first
// fault of the supervisor's own.
func (s *Supervisor) Close() error {
	err := s.stop.Close()
	s.mu.Lock()
	for c := range s.socket {
		_ = c.Close()
	}
	for _, f := range s.theirs {
		_ = f.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
	return errors.Join(err, s.stops.Close(), errors.Join(s.errs...))
}

// await waits, in the background, for the listener of a program that is about to be
// started, which sends it to the socket that is returned.
func (s *Supervisor) await() (theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs = os.NewFile(uintptr(pair[1]), "launch")
	file := os.NewFile(uintptr(pair[0]), "launch")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	ours := conn.(*net.UnixConn)
	s.mu.Lock()
	s.socket[ours] = true
	s.theirs = append(s.theirs, theirs)
	s.mu.Unlock()
	s.work.Go(func() { s.note(s.supervise(ours)) })
	return theirs, nil
}

func (s *Supervisor) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && len(s.errs) == 0 {
		s.errs = append(s.errs, err)
	}
}

// supervise takes a listener from the program, and answers its calls until it ends.
func (s *Supervisor) supervise(ours *net.UnixConn) error {
	text, rights := make([]byte, 32), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := ours.ReadMsgUnix(text, rights)
	_ = ours.Close()
	s.mu.Lock()
	delete(s.socket, ours)
	s.mu.Unlock()
	if err != nil {
		return nil // it was not started
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("the program sent no listener: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	defer unix.Close(fds[0]) //nolint:errcheck // nothing was written
	program, err := strconv.Atoi(string(text[:n]))
	if err != nil {
		return err
	}
	return s.answerAll(fds[0], program)
}

func (s *Supervisor) answerAll(listener, program int) error {
	for {
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(s.stops.Fd())}}
		if _, err := unix.Poll(ready, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return err
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return nil // the program has ended, or its supervision
		}
		c, err := receive(listener, program)
		if err == nil && c != nil {
			err = s.answer(listener, c)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Supervisor) answer(listener int, c *call) error {
	s.calls.Add(1)
	if h := s.waits(c); h != nil {
		h.n.Add(1)
		s.work.Go(func() {
			<-h.gate
			s.note(c.goOn(listener))
		})
		return nil
	}
	if errno, fails := s.falls(c); fails {
		return c.fail(listener, errno)
	}
	return c.goOn(listener)
}

// falls counts a call, and says whether it is one to fail.
func (s *Supervisor) falls(c *call) (unix.Errno, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan == nil || !s.plan.counts(c) {
		return 0, false
	}
	at := s.seen
	s.seen++
	if at < s.plan.At || at > s.plan.At && !s.plan.Lasts {
		return 0, false
	}
	s.hits++
	return s.plan.Errno, true
}
