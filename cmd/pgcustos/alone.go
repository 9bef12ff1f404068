package main

import (
	"context"
	"errors"
	"sync"
)

// beAlone takes what only one process at a time can have of those that share a
// journal: the sockets of readers and operators with the locks, the file of the
// services, and what is scraped. Sinks are another such thing.
func (d *daemon) beAlone() error {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	d.layDown = func() error {
		var errs []error
		if d.control != nil {
			errs = append(errs, d.control.Close())
		}
		if d.readings != nil {
			errs = append(errs, d.readings.Close())
		}
		d.control, d.readings = nil, nil
		cancel()
		work.Wait()
		return errors.Join(errs...)
	}
	d.listenForReaders()
	if err := d.keepServices(d.config); err != nil {
		return err
	}
	if err := d.listenForOperators(d.config); err != nil {
		return err
	}
	admin, err := d.listener(adminSocket)
	if err != nil {
		return err
	}
	work.Go(func() { d.services.Watch(ctx) })
	if admin == nil {
		return nil
	}
	d.log.Info("admin server", "address", admin.Addr().String())
	work.Go(func() {
		if err := d.metrics.Serve(ctx, admin, d.health.ready, d.log); err != nil {
			select {
			case d.ended <- err:
			default: // something failed already
			}
		}
	})
	return nil
}

// stopAlone lays that down.
func (d *daemon) stopAlone() error {
	if d.layDown == nil {
		return nil
	}
	err := d.layDown()
	d.layDown = nil
	return err
}
