package main

import (
	"context"
	"errors"
	"net"
	"sync"
)

// beAlone takes what only one process at a time can have of those that share a
// journal: the sockets of readers and operators with the locks, the file of the
// services, what is scraped, and what other nodes connect to. Sinks are another such thing.
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
	work.Go(func() { d.services.Watch(ctx) })
	return errors.Join(
		d.serveOn(adminSocket, &work, func(l net.Listener) error { return d.metrics.Serve(ctx, l, d.health.ready, d.log) }),
		d.serveOn(peersSocket, &work, func(l net.Listener) error { return d.peers.Serve(ctx, l) }))
}

// serveOn serves on a socket, where there is one of that name.
func (d *daemon) serveOn(name string, work *sync.WaitGroup, serve func(net.Listener) error) error {
	l, err := d.listener(name)
	if err != nil || l == nil {
		return err
	}
	if name == adminSocket {
		d.log.Info("admin server", "address", l.Addr().String())
	}
	work.Go(func() {
		if err := serve(l); err != nil {
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
