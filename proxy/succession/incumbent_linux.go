package succession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/internal/peer"
)

// Incumbent waits for an heir.
type Incumbent struct {
	office   Office
	log      *slog.Logger
	listener *peer.Listener
	ctx      context.Context // of what is done for an heir
	stop     context.CancelFunc
	work     sync.WaitGroup
	busy     atomic.Bool // an heir is there

	mu   sync.Mutex
	heir *net.UnixConn // guarded by mu
	over bool          // guarded by mu: Close was called
}

// Listen waits for an heir, in a directory that no other user can write to.
func Listen(dir string, office Office, log *slog.Logger) (*Incumbent, error) {
	i := &Incumbent{office: office, log: log}
	var err error
	i.listener, err = peer.Listen(dir, socketName, func(path string, _ os.FileInfo) error { return os.Chmod(path, 0o600) })
	if err != nil {
		return nil, fmt.Errorf("listen for a successor: %w", err)
	}
	i.ctx, i.stop = context.WithCancel(context.Background())
	i.work.Go(i.accept)
	return i, nil
}

// Close lets go of an heir, and waits until what it asked for is done.
func (i *Incumbent) Close() error {
	i.stop()
	err := i.listener.Close()
	i.mu.Lock()
	i.over = true
	if i.heir != nil {
		_ = i.heir.Close()
	}
	i.mu.Unlock()
	i.work.Wait()
	return err
}

func (i *Incumbent) accept() {
	for {
		c, err := i.listener.AcceptUnix()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			i.log.Warn("accept a successor", "error", err)
			select { // out of descriptors, say
			case <-i.ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		if !i.welcome(c) {
			_ = c.Close()
		}
	}
}

// welcome lets one heir in, of the same user: whoever is that can read the keys and
// the journal, too.
func (i *Incumbent) welcome(c *net.UnixConn) bool {
	uid, err := peer.UID(c)
	if err != nil || uid != uint32(os.Geteuid()) {
		i.log.Warn("somebody else asked for the listening sockets, and got nothing", "uid", uid, "error", err)
		return false
	}
	if !i.busy.CompareAndSwap(false, true) {
		i.log.Warn("a second successor was turned away")
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return false
	}
	i.heir = c
	i.work.Go(func() {
		h := &heir{i: i, conn: c}
		h.serve()
		i.mu.Lock()
		i.heir = nil
		i.mu.Unlock()
		_ = c.Close()
		i.busy.Store(false)
	})
	return true
}

// stage is how far a succession has come.
type stage uint8

const (
	asking stage = iota
	yielded
	ceded
)

// heir is the other end of a succession.
type heir struct {
	i     *Incumbent
	conn  *net.UnixConn
	stage stage
	work  sync.WaitGroup
	mu    sync.Mutex // guards what is written
}

func (h *heir) serve() {
	places := make(chan struct{}, mostAtOnce)
	d := json.NewDecoder(h.conn)
	for {
		var r request
		if err := d.Decode(&r); err != nil {
			break
		}
		if r.Do == doSockets || r.Do == doYield || r.Do == doServe || h.stage == asking {
			if h.advance(&r) != nil {
				break
			}
			continue
		}
		places <- struct{}{}
		h.work.Go(func() {
			defer func() { <-places }()
			a := answer{ID: r.ID}
			if err := h.later(&r, &a); err != nil {
				a.Error = err.Error()
			}
			_ = h.tell(&a) // where that fails, so does the next read
		})
	}
	h.work.Wait()
	switch h.stage {
	case asking:
	case yielded:
		h.i.log.Warn("the successor failed, this process goes on")
		h.i.office.Resume()
	case ceded:
		h.i.office.Abandoned()
	}
}

func (h *heir) tell(a *answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = h.conn.Write(append(line, '\n'))
	return err
}

// advance takes the succession one step further.
func (h *heir) advance(r *request) error {
	a := answer{ID: r.ID, PID: os.Getpid()}
	var err error
	switch {
	case r.Do == doSockets && h.stage == asking:
		if err = h.pass(&a); err != nil {
			return err
		}
	case r.Do == doYield && h.stage == asking:
		h.stage = yielded
		err = h.i.office.Yield()
		// An heir that says nothing for so long has failed.
		err = errors.Join(err, h.conn.SetReadDeadline(time.Now().Add(patience)))
	case r.Do == doServe && h.stage == yielded:
		if a.Memory, err = h.i.office.Cede(r.PID); err == nil {
			h.stage = ceded
			err = h.conn.SetReadDeadline(time.Time{})
		}
	default:
		err = fmt.Errorf("%.20q is not what comes now", r.Do)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return errors.Join(err, h.tell(&a))
}

// pass sends the descriptors, with a byte that carries them.
func (h *heir) pass(a *answer) error {
	e := h.i.office.Estate()
	a.Digest, a.Sockets = e.Digest, e.Sockets
	var fds []int
	for _, s := range e.Sockets {
		raw, err := s.File.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return err
		}
	}
	if err := h.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, _, err := h.conn.WriteMsgUnix([]byte{'\n'}, unix.UnixRights(fds...), nil)
	return err
}

// later does what an heir may ask for when it serves.
func (h *heir) later(r *request, a *answer) error {
	office := h.i.office
	if r.Selector == nil && r.Do == doKill || r.Identity == nil && r.Do == doUsed || r.Key == nil && r.Do == doCancel {
		return errors.New("half a request")
	}
	switch r.Do {
	case doLive:
		a.Sessions = office.Live(r.Selector)
	case doKill:
		a.N = office.Kill(r.Selector, r.Detail, r.Since)
	case doLocks:
		a.N = office.SetLocks(r.Locks, r.Since)
	case doQuarantine:
		a.N = office.Quarantine(r.Services, r.Since)
	case doUsed:
		a.Last, a.N = office.Used(r.Identity)
	case doCancel:
		ctx, cancel := context.WithTimeout(h.i.ctx, patience)
		defer cancel()
		a.Found = office.Cancel(ctx, *r.Key)
	case doReload:
		return office.Reload()
	case doHurry:
		office.Hurry()
	default:
		return fmt.Errorf("%.20q is nothing that can be asked for", r.Do)
	}
	return nil
}
