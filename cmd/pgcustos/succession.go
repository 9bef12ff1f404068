package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/peers"
	"github.com/pgcustos/pgcustos/proxy/succession"
)

// inherit looks for sockets that this process need not open.
func (d *daemon) inherit(ctx context.Context, takeOver bool) (err error) {
	if d.inherited, err = activated(); err != nil {
		return err
	}
	if !takeOver {
		return nil
	}
	d.before, err = succession.Find(ctx, d.config.Control.Directory, d.log)
	switch {
	case errors.Is(err, succession.ErrNobody):
		d.log.Info("no process serves here whose place could be taken")
	case err != nil:
		return err
	default:
		d.log.Info("taking the place of a process that serves", "pid", d.before.PID)
		d.inherited = append(d.inherited, d.before.Sockets...)
	}
	return nil
}

// succeed is the moment from which on this process accepts, and no other.
func (d *daemon) succeed(ctx context.Context) error {
	if d.before == nil {
		return nil
	}
	memory, err := d.before.Succeed(ctx)
	if err != nil && d.before.Killed() {
		// Nobody serves if this process does not. It takes no ticket from before it began.
		d.log.Warn("the process that served was killed before it gave way", "pid", d.before.PID)
		return nil
	}
	if err != nil {
		return fmt.Errorf("the process that serves goes on: %w", err)
	}
	if err := json.Unmarshal(memory, d.memory.replays); err != nil {
		// It knows of no ticket that was used before it began, and takes none from then.
		d.log.Warn("what the other process remembers of tickets cannot be read", "error", err)
	}
	if d.before.Digest != d.config.Digest {
		go d.reloadBefore()
	}
	return nil
}

// reloadAll reads the configuration again, for the sessions of those who served
// before, too.
func (d *daemon) reloadAll() {
	_ = d.reload() // it has said what is wrong
	if d.before != nil {
		go d.reloadBefore()
	}
}

// reloadBefore has the sessions that are left elsewhere follow the configuration.
func (d *daemon) reloadBefore() {
	if err := d.before.Reload(); err != nil {
		d.log.Warn("the process that served before cannot follow the configuration: its sessions end at their next idle point", "error", err)
		d.before.Hurry()
	}
}

// awaitSuccessor lets another process take this one's place. Where it cannot, in a
// file system without sockets, say, it serves nevertheless.
func (d *daemon) awaitSuccessor() (err error) {
	d.incumbent, err = succession.Listen(d.config.Control.Directory, office{d}, d.log)
	if err != nil {
		d.log.Error("no successor will find this process", "error", err)
		d.incumbent = nil
	}
	return nil
}

// startSuccessor starts the program that is there now, as this one was started.
func (d *daemon) startSuccessor() {
	if d.child != 0 {
		d.log.Warn("a successor is starting already", "pid", d.child)
		return
	}
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		d.log.Error("no successor can be started", "error", err)
		return
	}
	args := os.Args[1:]
	if !slices.Contains(args, "--"+takeOverFlag) {
		args = append(slices.Clone(args), "--"+takeOverFlag)
	}
	// The watchdog is for the process that is named; the next one is for its successor.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	pid, ended, err := startBeside(path, append([]string{os.Args[0]}, args...), env)
	if err != nil {
		d.log.Error("no successor can be started", "error", err)
		return
	}
	d.child = pid
	d.log.Info("a successor was started", "pid", pid, "program", path)
	go func() {
		err := ended()
		d.do(func() {
			if d.child = 0; d.heir.Load() == 0 {
				d.log.Error("the successor ended, this process goes on", "pid", pid, "error", err)
			}
		})
	}()
}

// successorDetail says who goes on; "" for nobody.
func (d *daemon) successorDetail() string {
	if pid := d.heir.Load(); pid != 0 {
		return fmt.Sprintf("process %d goes on", pid)
	}
	return ""
}

// do has the goroutine that handles signals do something, and waits for it; false:
// it has ended.
func (d *daemon) do(f func()) bool {
	done := make(chan struct{})
	select {
	case d.asks <- func() { defer close(done); f() }:
		<-done
		return true
	case <-d.over:
		return false
	}
}

// untilDone does what others ask for while f waits for them.
func (d *daemon) untilDone(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case ask := <-d.asks:
			ask()
		case <-done:
			return
		}
	}
}

// office is what a daemon does for its successor.
type office struct{ *daemon }

var _ succession.Office = office{}

var errEnding = errors.New("it is ending, start without taking its place when it has ended")

// Estate implements succession.Office.
func (d office) Estate() (e succession.Estate) {
	d.do(func() { e = succession.Estate{PID: os.Getpid(), Digest: d.config.Digest, Sockets: d.sockets} })
	return e
}

// Yield implements succession.Office.
func (d office) Yield() (err error) {
	if !d.do(func() {
		if d.ending {
			err = errEnding
			return
		}
		d.log.Info("a successor is ready")
		err = d.stopAlone()
		d.stopSinks()
	}) {
		err = errEnding
	}
	return err
}

// Resume implements succession.Office.
func (d office) Resume() {
	d.do(func() {
		if d.ending {
			return
		}
		if err := errors.Join(d.beAlone(), d.startSinks(d.config)); err != nil {
			d.log.Error("this process serves on, but not as before: start it anew", "error", err)
		}
	})
}

// Cede implements succession.Office.
func (d office) Cede(heir int) (memory json.RawMessage, err error) {
	if !d.do(func() {
		if d.ending {
			err = errEnding
			return
		}
		if heir == d.child {
			d.notify(fmt.Sprintf("MAINPID=%d", heir))
		}
		d.ending = true
		d.heir.Store(int64(heir))
		d.server.Cede()
		memory = d.usedTickets()
	}) {
		err = errEnding
	}
	return memory, err
}

// usedTickets is what a successor has to remember. From what is no such thing it learns
// nothing, and then takes no ticket that is older than itself.
func (d *daemon) usedTickets() json.RawMessage {
	memory, err := json.Marshal(d.memory.replays)
	if err != nil {
		d.log.Error("used tickets cannot be handed over", "error", err)
		return json.RawMessage("[]")
	}
	return memory
}

// Reload implements succession.Office.
func (d office) Reload() (err error) {
	if !d.do(func() { err = d.reload() }) {
		err = errEnding
	}
	return errors.Join(err, d.before.Reload())
}

// Cancel implements succession.Office.
func (d office) Cancel(ctx context.Context, key proxy.CancelKey) bool {
	return d.cancelHere(ctx, key)
}

// Hurry implements succession.Office.
func (d office) Hurry() {
	d.hurry()
	d.before.Hurry()
}

// Abandoned implements succession.Office.
func (d office) Abandoned() { d.abandon() }

// Live implements succession.Sessions, as what follows.
func (d office) Live(chosen *auth.Selector) []proxy.Status { return d.everyone().Live(chosen) }

// Kill ends sessions.
func (d office) Kill(chosen *auth.Selector, detail string, since time.Time) int {
	return d.everyone().Kill(chosen, detail, since)
}

// SetLocks locks access.
func (d office) SetLocks(locks []auth.Lock, since time.Time) int {
	return d.everyone().SetLocks(locks, since)
}

// Quarantine keeps services out.
func (d office) Quarantine(services map[string]string, since time.Time) int {
	return d.everyone().Quarantine(services, since)
}

// Used tells when a service was used.
func (d office) Used(id *auth.Identity) (time.Time, int) { return d.everyone().Used(id) }

// cancelElsewhere asks who served before, and then the other nodes.
func (d *daemon) cancelElsewhere(ctx context.Context, key proxy.CancelKey) bool {
	return d.before.Cancel(ctx, key) || d.peers != nil && d.peers.Cancel(ctx, key)
}

// cancelHere looks for a session on this node alone.
func (d *daemon) cancelHere(ctx context.Context, key proxy.CancelKey) bool {
	return d.server.Cancel(ctx, key) || d.before.Cancel(ctx, key)
}

// nodeInKeys is what cancel keys tell of this node, where others can make use of it.
func nodeInKeys(c *config.Config) string {
	if len(c.Peers.Nodes) == 0 {
		return ""
	}
	return c.Node
}

// knowPeers has cancels passed on to other nodes, and taken from them.
func (d *daemon) knowPeers(c *config.Config) {
	if len(c.Peers.Nodes) > 0 {
		d.peers = peers.New(d.peersBy(c))
	}
}

func (d *daemon) peersBy(c *config.Config) peers.Options {
	return peers.Options{
		Nodes: c.Peers.Nodes, Certificate: c.Peers.Certificate, Authorities: c.Peers.Authorities, Log: d.log, Cancel: d.cancelHere,
	}
}

// everyone are the sessions of this process and of those before it.
type everyone struct {
	*proxy.Server
	before *succession.Predecessor
}

func (d *daemon) everyone() everyone { return everyone{d.server, d.before} }

// Live returns the sessions that a selector chooses.
func (e everyone) Live(chosen *auth.Selector) []proxy.Status {
	return append(e.Server.Live(chosen), e.before.Live(chosen)...)
}

// Kill ends the sessions that a selector chooses.
func (e everyone) Kill(chosen *auth.Selector, detail string, since time.Time) int {
	return e.Server.Kill(chosen, detail, since) + e.before.Kill(chosen, detail, since)
}

// SetLocks keeps out, and ends, what these locks choose.
func (e everyone) SetLocks(locks []auth.Lock, since time.Time) int {
	return e.Server.SetLocks(locks, since) + e.before.SetLocks(locks, since)
}

// Quarantine keeps these services out.
func (e everyone) Quarantine(services map[string]string, since time.Time) int {
	return e.Server.Quarantine(services, since) + e.before.Quarantine(services, since)
}

// Used tells when a service last began a session, and how many it has.
func (e everyone) Used(id *auth.Identity) (time.Time, int) {
	last, sessions := e.Server.Used(id)
	before, more := e.before.Used(id)
	if before.After(last) {
		last = before
	}
	return last, sessions + more
}
