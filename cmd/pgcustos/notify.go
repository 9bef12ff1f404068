package main

import (
	"context"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// What a service manager is told (sd_notify(3)).
const (
	ready    = systemd.SdNotifyReady
	stopping = systemd.SdNotifyStopping
)

// notify tells the service manager, if there is one. A process that another has
// succeeded has nothing more to say: what it told would be taken for the other's.
func (d *daemon) notify(state string) {
	if d.heir.Load() != 0 {
		return
	}
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Warn("the service manager was not told", "state", state, "error", err)
	}
}

func reloading() string {
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", systemd.SdNotifyReloading, monotonic())
}

// watchdog tells the service manager that this process lives, while the goroutine that
// handles signals takes its turn and sessions can be counted.
func (d *daemon) watchdog(ctx context.Context) {
	within, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		d.log.Warn("the service manager's watchdog", "error", err)
	}
	if within <= 0 {
		return
	}
	tick := time.NewTicker(within / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.do(func() { d.server.Sessions() }) {
			d.notify(systemd.SdNotifyWatchdog)
		}
	}
}
