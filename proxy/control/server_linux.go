package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/peer"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/services"
)

// socketName is the socket's in the directory.
const socketName = "control.sock"

// Target is what is controlled.
type Target interface {
	Live(*auth.Selector) []proxy.Status
	Kill(chosen *auth.Selector, detail string, since time.Time) int
	SetLocks(locks []auth.Lock, since time.Time) int
}

// Options say where to listen, for whom, and what to control.
type Options struct {
	Directory string
	Group     string // whose members may, too; empty for none
	Target    Target
	// Find reads an account, so that a lock holds on when it is renamed.
	Find func(ctx context.Context, name string) (auth.Identity, error)
	// Named tells whether a name means one account, by its form alone.
	Named func(name string) error
	// Services tells how the declared services fare.
	Services func() []services.Status
	Recorder audit.Recorder
	Log      *slog.Logger
}

// Server listens for operators.
type Server struct {
	o        Options
	listener *peer.Listener
	places   chan struct{} // one for each connection
	stop     chan struct{} // closed by Close
	work     sync.WaitGroup

	mu    sync.Mutex
	locks []auth.Lock // guarded by mu
}

const (
	// mostOperators bounds the connections at once.
	mostOperators = 8
	// patience is for how long one may take to ask, and to read the answer.
	patience = 10 * time.Second
	// findTimeout bounds the look for the account that a lock names.
	findTimeout = 2 * time.Second
)

// Listen puts the locks of earlier processes in force, and listens. Close ends it.
func Listen(o Options) (*Server, error) {
	s := &Server{o: o, places: make(chan struct{}, mostOperators), stop: make(chan struct{})}
	err := s.begin()
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	s.work.Go(s.accept)
	return s, nil
}

func (s *Server) begin() error {
	mode, gid := os.FileMode(0o700), -1
	if s.o.Group != "" {
		g, err := user.LookupGroup(s.o.Group)
		if err != nil {
			return err
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return err
		}
		mode = 0o750
	}
	if err := os.MkdirAll(s.o.Directory, 0o700); err != nil {
		return err
	}
	if err := errors.Join(os.Chown(s.o.Directory, -1, gid), os.Chmod(s.o.Directory, mode)); err != nil {
		return err
	}
	var err error
	if s.locks, err = readLocks(s.o.Directory); err != nil {
		return err
	}
	s.o.Target.SetLocks(slices.Clone(s.locks), time.Now())
	s.listener, err = peer.Listen(s.o.Directory, socketName, func(path string, _ os.FileInfo) error {
		if gid < 0 {
			return os.Chmod(path, 0o600)
		}
		return errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o660))
	})
	return err
}

// Close stops listening, and waits for those who are there.
func (s *Server) Close() error {
	close(s.stop)
	err := s.listener.Close()
	s.work.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.o.Log.Warn("accept an operator", "error", err)
			select { // out of descriptors, say
			case <-s.stop:
				return
			case <-time.After(time.Second):
			}
			continue
		}
		select {
		case s.places <- struct{}{}:
			s.work.Go(func() {
				defer func() { <-s.places }()
				s.serve(c)
			})
		default:
			_ = c.Close()
		}
	}
}

func (s *Server) serve(c *net.UnixConn) {
	defer c.Close() //nolint:errcheck // it has its answer
	by, err := peer.Of(c)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		s.o.Log.Warn("an operator cannot be known", "error", err)
		return
	}
	line, err := bufio.NewReaderSize(io.LimitReader(c, maxRequest), maxRequest).ReadSlice('\n')
	began := time.Now()
	var r Request
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	r.SID = "" // the record has what an operator named, and no more
	if err == nil {
		err = r.check()
	}
	a := &Answer{}
	if err == nil {
		a, err = s.do(&r, by, began)
	}
	if err != nil {
		a.Error = err.Error()
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	_ = json.NewEncoder(c).Encode(a)
}

func (s *Server) do(r *Request, by peer.Peer, began time.Time) (*Answer, error) {
	var chosen *auth.Selector
	if r.Selector != (auth.Selector{}) {
		chosen = &r.Selector
	}
	if err := s.named(r); err != nil {
		return &Answer{}, err
	}
	switch r.Do {
	case Sessions:
		return &Answer{Sessions: s.o.Target.Live(chosen)}, nil
	case Locks:
		s.mu.Lock()
		defer s.mu.Unlock()
		return &Answer{Locks: slices.Clone(s.locks)}, nil
	case Identities:
		return &Answer{Services: s.o.Services()}, nil
	case Kill:
		a := &Answer{Warning: s.record(r, by)}
		a.Ended = s.o.Target.Kill(chosen, "by "+who(by)+": "+r.Reason, began)
		s.o.Log.Info("sessions were ended", "by", who(by), "sessions", a.Ended, "selector", r.String(), "reason", r.Reason)
		return a, nil
	case Lock:
		return s.lock(r, by, began)
	default:
		return s.unlock(r, by)
	}
}

// named refuses a name that could be of any domain: it would choose nobody, and be
// taken for a lock.
func (s *Server) named(r *Request) error {
	if s.o.Named == nil || r.Do != Kill && r.Do != Lock || r.User == "" || strings.HasPrefix(r.User, "S-1-") || isGUID(r.User) {
		return nil
	}
	var f *auth.Failure
	if err := s.o.Named(r.User); errors.As(err, &f) && (f.Cause == auth.CauseDomainNotNamed || f.Cause == auth.CauseUnknownDomain) {
		return fmt.Errorf("%q: %s", r.User, f.Detail)
	}
	return nil
}

// isGUID reports whether a name is written 8-4-4-4-12.
func isGUID(s string) bool {
	const length = 36
	return len(s) == length && strings.Count(s, "-") == 4
}

// who names an operator.
func who(by peer.Peer) string {
	name := by.User
	if name == "" {
		name = "uid " + strconv.FormatUint(uint64(by.UID), 10)
	}
	if by.Login != "" && by.Login != by.User {
		name += " (logged in as " + by.Login + ")"
	}
	return name
}

// lock is in force before it is on the disk: what is urgent does not wait for that.
func (s *Server) lock(r *Request, by peer.Peer, began time.Time) (*Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.locks) >= mostLocks {
		return &Answer{}, fmt.Errorf("there are %d locks already: take some away, or lock with --all", mostLocks)
	}
	l := auth.Lock{Selector: r.Selector, Reason: r.Reason, By: who(by), At: began}
	l.SID = ""
	s.locks = append(s.locks, l)
	a := &Answer{Changed: 1, Warning: s.record(r, by)}
	a.Ended = s.o.Target.SetLocks(slices.Clone(s.locks), began)
	if l.User != "" {
		ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
		defer cancel()
		if id, err := s.o.Find(ctx, l.User); err == nil {
			s.locks[len(s.locks)-1].SID = id.SID
			a.Ended += s.o.Target.SetLocks(slices.Clone(s.locks), began)
		} else {
			a.Warning = join(a.Warning, "the account was not found, so that the lock is by its name alone: "+err.Error())
		}
	}
	s.o.Log.Warn("access was locked", "by", l.By, "sessions", a.Ended, "selector", r.String(), "reason", r.Reason)
	if err := writeLocks(s.o.Directory, s.locks); err != nil {
		return a, fmt.Errorf("the lock is in force, and will be gone after a restart: %w", err)
	}
	return a, nil
}

// unlock takes away the locks that say the same. It is on record, and on the disk,
// before it is in force.
func (s *Server) unlock(r *Request, by peer.Peer) (*Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.locks), func(l auth.Lock) bool {
		l.SID = ""
		return l.Selector == r.Selector
	})
	a := &Answer{Changed: len(s.locks) - len(left)}
	if a.Changed == 0 {
		return a, errors.New("there is no such lock: pgcustos sessions --locks lists them")
	}
	if problem := s.record(r, by); problem != "" {
		return a, errors.New("nothing was unlocked: " + problem)
	}
	if err := writeLocks(s.o.Directory, left); err != nil {
		return a, fmt.Errorf("nothing was unlocked: %w", err)
	}
	s.locks = left
	s.o.Target.SetLocks(slices.Clone(left), time.Now())
	s.o.Log.Warn("access was unlocked", "by", who(by), "selector", r.String(), "reason", r.Reason)
	return a, nil
}

// record writes down who does what, and why. It returns what went wrong.
func (s *Server) record(r *Request, by peer.Peer) string {
	_, err := s.o.Recorder.Record(&audit.Event{
		Type: audit.Operation, Decision: audit.Allowed, Cause: r.Do, Command: r.Do, Filter: r.String(), Detail: r.Reason, Rows: -1,
		Reader: &audit.Reader{User: by.User, UID: by.UID, Login: by.Login, PID: by.PID},
	})
	if err == nil {
		return ""
	}
	s.o.Log.Error("record", "type", audit.Operation, "by", who(by), "error", err)
	return "this is not on record: " + err.Error()
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// Ask sends a request to the process that serves.
func Ask(ctx context.Context, dir string, r Request) (*Answer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	c, err := peer.Dial(ctx, dir, socketName)
	if err != nil {
		return nil, fmt.Errorf("no proxy listens at %s, or it is not for you: %w", filepath.Join(dir, socketName), err)
	}
	defer c.Close() //nolint:errcheck // the answer is what counts
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if err := json.NewEncoder(c).Encode(&r); err != nil {
		return nil, err
	}
	var a Answer
	if err := json.NewDecoder(io.LimitReader(c, maxAnswer)).Decode(&a); err != nil {
		return nil, fmt.Errorf("the proxy's answer: %w", err)
	}
	if a.Error != "" {
		return &a, errors.New(a.Error)
	}
	return &a, nil
}
