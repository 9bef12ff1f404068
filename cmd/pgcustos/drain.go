package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/pgcustos/pgcustos/proxy"
)

// drain gives the sessions time to end by themselves when a successor has the
// clients, and then shuts down.
func (d *daemon) drain(stop func(), signals <-chan os.Signal) error {
	d.health.draining.Store(true)
	grace := d.config.Listen.TakeOverGrace
	d.log.Info("another process serves now, this one drains", "successor", d.heir.Load(), "sessions", d.server.Sessions(), "grace", grace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	d.during(func() { d.server.Idle(ctx) }, signals, func(os.Signal) { cancel() }, d.hurried, d.abandoned)
	return d.shutdown(stop, signals)
}

// retire lets balancers see that this process is about to end, before it does.
func (d *daemon) retire(signals <-chan os.Signal) {
	d.ending = true
	d.notify(stopping)
	d.health.draining.Store(true)
	go d.before.Hurry()
	delay := d.config.Listen.ShutdownDelay
	if delay == 0 {
		return
	}
	d.log.Info("clients are served for a while yet", "delay", delay)
	ctx, cancel := context.WithTimeout(context.Background(), delay)
	defer cancel()
	d.during(func() { <-ctx.Done() }, signals, func(os.Signal) { cancel() }, nil, nil)
}

// during does what others ask for while wait waits. A signal that would end the
// process, or one of the channels, calls end; SIGHUP reads the configuration.
func (d *daemon) during(wait func(), signals <-chan os.Signal, end func(os.Signal), first, second <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	for {
		select {
		case <-done:
			return
		case ask := <-d.asks:
			ask()
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				_ = d.reload() // it has said what is wrong
			case !slices.Contains(upgradeSignals, s):
				end(s)
			}
		case <-first:
			first = nil
			end(nil)
		case <-second:
			second = nil
			end(nil)
		}
	}
}

// shutdown lets sessions come to an idle point, until the time is up, a second signal
// comes, or nobody can reach them any more.
func (d *daemon) shutdown(stop func(), signals <-chan os.Signal) error {
	d.ending = true
	d.health.draining.Store(true)
	if d.keepsSocket() {
		d.server.Cede() // clients wait for the next process, in the queue
	}
	whole, force := d.patience()
	defer force()
	ctx, cancel := context.WithTimeout(whole, d.config.Listen.ShutdownTimeout)
	defer cancel()
	go d.stopWatching(ctx, stop)
	var err error
	d.during(func() { err = d.shutdownAll(ctx, whole) }, signals, func(s os.Signal) {
		if s == nil {
			d.log.Warn("nobody can reach the sessions of this process any more: ending them")
		} else {
			d.log.Warn("ending every session now", "signal", s.String())
		}
		force()
	}, d.abandoned, nil)
	if errors.Is(err, proxy.ErrForced) {
		d.log.Warn("sessions were ended before they were idle")
		return nil
	}
	return err
}

// shutdownAll shuts down, and waits for the end of who served before: it is reached
// through this process alone.
func (d *daemon) shutdownAll(ctx, whole context.Context) error {
	err := d.server.Shutdown(ctx)
	select {
	case <-d.before.Gone():
	case <-whole.Done(): // it ends for want of this process
	}
	return err
}

// patience bounds a shut-down with the wait for who served before. Where there is a
// successor, nothing is in a hurry, and each has bounds of its own.
func (d *daemon) patience() (context.Context, context.CancelFunc) {
	if d.heir.Load() != 0 {
		return context.WithCancel(context.Background())
	}
	const after = 5 * time.Second // for it to end its sessions
	return context.WithTimeout(context.Background(), d.config.Listen.ShutdownTimeout+after)
}

// stopWatching calls stop when no session is left: until then the server's own watch
// over limits and accounts goes on.
func (d *daemon) stopWatching(ctx context.Context, stop func()) {
	tick := time.NewTicker(drainPeriod)
	defer tick.Stop()
	for d.server.Sessions() > 0 && ctx.Err() == nil {
		<-tick.C
	}
	stop()
}
