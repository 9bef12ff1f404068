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
	"syscall"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/proxy"
)

// Predecessor is the process that served before. A nil one has no sessions.
type Predecessor struct {
	Estate
	conn *net.UnixConn
	log  *slog.Logger
	gone chan struct{} // closed when the connection ends
	end  *os.File      // the process (pidfd_open(2)); nil: nobody can tell

	mu      sync.Mutex // guards what is written, and what follows
	last    uint64
	waiting map[uint64]chan *answer
}

var _ Sessions = (*Predecessor)(nil)

// read hands answers to whoever waits for them.
func (p *Predecessor) read() {
	defer close(p.gone)
	d := json.NewDecoder(p.conn)
	for {
		a := &answer{}
		if d.Decode(a) != nil {
			return
		}
		p.mu.Lock()
		w := p.waiting[a.ID]
		delete(p.waiting, a.ID)
		p.mu.Unlock()
		if w != nil {
			w <- a // holds one
		}
	}
}

// errGone says that the predecessor has ended.
var errGone = errors.New("the process that served before has ended")

func (p *Predecessor) ask(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w := make(chan *answer, 1)
	if err := p.send(&r, w); err != nil {
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) {
			err = errGone
		}
		return nil, err
	}
	select {
	case a := <-w:
		if a.Error != "" {
			return nil, fmt.Errorf("process %d: %s", p.PID, a.Error)
		}
		return a, nil
	case <-p.gone:
		return nil, errGone
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.waiting, r.ID)
		p.mu.Unlock()
		return nil, fmt.Errorf("process %d does not answer: %w", p.PID, ctx.Err())
	}
}

func (p *Predecessor) send(r *request, w chan *answer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	r.ID, r.PID = p.last, os.Getpid()
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := p.conn.Write(append(line, '\n')); err != nil {
		return err
	}
	p.waiting[r.ID] = w
	return nil
}

// Yield has the predecessor lay down what only one process can have. Unless Succeed
// follows soon, it takes that up again.
func (p *Predecessor) Yield(ctx context.Context) error {
	_, err := p.ask(ctx, request{Do: doYield})
	return err
}

// Succeed has the predecessor stop accepting: from then on the sockets are the
// caller's. It returns what has to be remembered.
func (p *Predecessor) Succeed(ctx context.Context) (memory json.RawMessage, err error) {
	a, err := p.ask(ctx, request{Do: doServe})
	if err != nil {
		return nil, err
	}
	return a.Memory, nil
}

// Killed says whether the predecessor's process has ended, and not its connection alone:
// one that serves on lets go of who is too slow for it.
func (p *Predecessor) Killed() bool { return p.end != nil && hasEnded(p.end) }

// Gone is closed when the predecessor has ended.
func (p *Predecessor) Gone() <-chan struct{} {
	if p == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	return p.gone
}

// Close lets go of the predecessor: what sessions it has left, it ends.
func (p *Predecessor) Close() error {
	if p == nil {
		return nil
	}
	err := p.conn.Close()
	<-p.gone
	if p.end != nil {
		_ = p.end.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil // it was let go of before
	}
	return err
}

// order asks for what has to be done. A predecessor that cannot be reached is let go
// of, which ends its sessions: nobody is to stay in who cannot be put out.
func (p *Predecessor) order(r request) *answer {
	if p == nil {
		return &answer{}
	}
	a, err := p.ask(context.Background(), r)
	if err == nil {
		return a
	}
	if !errors.Is(err, errGone) {
		p.log.Error("the process that served before cannot be told, and is let go of", "pid", p.PID, "do", r.Do, "error", err)
		_ = p.conn.Close()
	}
	return &answer{}
}

// Live implements Sessions.
func (p *Predecessor) Live(chosen *auth.Selector) []proxy.Status {
	if p == nil {
		return nil
	}
	a, err := p.ask(context.Background(), request{Do: doLive, Selector: chosen})
	if err != nil {
		return nil
	}
	return a.Sessions
}

// Kill implements Sessions.
func (p *Predecessor) Kill(chosen *auth.Selector, detail string, since time.Time) int {
	return p.order(request{Do: doKill, Selector: chosen, Detail: detail, Since: since}).N
}

// SetLocks implements Sessions.
func (p *Predecessor) SetLocks(locks []auth.Lock, since time.Time) int {
	return p.order(request{Do: doLocks, Locks: locks, Since: since}).N
}

// Quarantine implements Sessions.
func (p *Predecessor) Quarantine(services map[string]string, since time.Time) int {
	return p.order(request{Do: doQuarantine, Services: services, Since: since}).N
}

// Used implements Sessions.
func (p *Predecessor) Used(id *auth.Identity) (last time.Time, sessions int) {
	if p == nil {
		return time.Time{}, 0
	}
	a, err := p.ask(context.Background(), request{Do: doUsed, Identity: id})
	if err != nil {
		return time.Time{}, 0
	}
	return a.Last, a.N
}

// Cancel passes a cancel on, and reports whether its key is that of a session there.
func (p *Predecessor) Cancel(ctx context.Context, key proxy.CancelKey) bool {
	if p == nil {
		return false
	}
	a, err := p.ask(ctx, request{Do: doCancel, Key: &key})
	return err == nil && a.Found
}

// Reload has the predecessor read its configuration again.
func (p *Predecessor) Reload() error {
	if p == nil {
		return nil
	}
	_, err := p.ask(context.Background(), request{Do: doReload})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// Hurry tells the predecessor to wait for its sessions no longer than a shut-down does.
func (p *Predecessor) Hurry() { p.order(request{Do: doHurry}) }
