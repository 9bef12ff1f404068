package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Freeze stops the postmaster in its tracks (SIGSTOP): new connections are
// accepted by the kernel and nothing answers. Thaw lets it go on.
func (p *Postgres) Freeze() error { return p.process.signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (p *Postgres) Thaw() error { return p.process.signal(syscall.SIGCONT) }

// Kill ends the postmaster and all of its children at once (SIGKILL), as a loss
// of the machine would. Start recovers the cluster.
func (p *Postgres) Kill() error {
	if err := p.Freeze(); err != nil { // it starts no more children
		return err
	}
	children, err := childrenOf(p.process.pid)
	if err != nil {
		return err
	}
	if err := p.process.kill(); err != nil {
		return err
	}
	for _, pid := range children {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return WaitFor(ctx, func() error { // while one of them holds the shared memory, no start succeeds
		for _, pid := range children {
			if runs(pid) {
				return fmt.Errorf("process %d still runs", pid)
			}
		}
		return nil
	})
}

// Shutdown ends the cluster and every session in it, in order ("fast").
func (p *Postgres) Shutdown() error { return p.end(syscall.SIGINT) }

// ShutdownImmediate ends the cluster without a checkpoint ("immediate"): clients
// are told 57P02, the next start recovers.
func (p *Postgres) ShutdownImmediate() error { return p.end(syscall.SIGQUIT) }

// Restart is a Shutdown and a Start.
func (p *Postgres) Restart(ctx context.Context) error {
	if err := p.Shutdown(); err != nil {
		return err
	}
	return p.Start(ctx)
}

func (p *Postgres) end(sig syscall.Signal) error {
	if err := p.Thaw(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.process.stop(ctx, sig)
}

// Stop ends the cluster at once, and removes its directory where that is
// temporary.
func (p *Postgres) Stop() error {
	var err error
	if p.process != nil {
		err = p.ShutdownImmediate()
	}
	if p.temporary {
		err = errors.Join(err, os.RemoveAll(p.Dir))
	}
	return err
}
