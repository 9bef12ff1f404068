package catalog

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/proxy/backend"
)

// Database is what is known of one database. Its methods neither block nor allocate.
type Database struct {
	catalog  *Catalog
	name     string
	snapshot atomic.Pointer[Snapshot]
	changes  atomic.Uint64
	sessions atomic.Int64
	ahead    atomic.Bool   // it is to be known before a session is in it
	wake     chan struct{} // a token when there is reason to read

	silent bool // owned by run: that it cannot be read was said
}

// Still is a database of which a snapshot is known that nobody reads anew.
func Still(s *Snapshot) *Database {
	d := &Database{wake: make(chan struct{}, 1)}
	d.snapshot.Store(s)
	return d
}

// View returns the newest snapshot, nil before the first, and whether it is as of
// now: nothing is known to have changed since it was begun.
func (d *Database) View() (s *Snapshot, current bool) {
	s = d.snapshot.Load()
	return s, s != nil && s.changes == d.changes.Load()
}

// Changed says that something is being changed, or may have been: what is known is no
// longer as of now.
func (d *Database) Changed() { d.changes.Add(1) }

// Settled says that a transaction has ended that changed something: it can be read
// anew.
func (d *Database) Settled() {
	d.Changed()
	d.Read()
}

// Read has the database read soon.
func (d *Database) Read() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Enter and Leave count the sessions: a database without any is not read, but once
// where it was asked for.
func (d *Database) Enter() {
	d.sessions.Add(1)
	if _, current := d.View(); !current {
		d.Read()
	}
}

// Leave is told of at Enter.
func (d *Database) Leave() { d.sessions.Add(-1) }

// How often it is read at most, whatever is changed: a tenth of the time is spent on
// it, and after a failure less.
const (
	leastPause  = 100 * time.Millisecond
	ratio       = 10
	mostReading = 2 * time.Minute
)

// run reads the database whenever there is reason to, until ctx ends.
func (d *Database) run(ctx context.Context) {
	refresh := time.NewTimer(d.catalog.opt.Refresh)
	defer refresh.Stop()
	failed := time.Duration(0) // how long to wait after a failure
	var last time.Time         // when what is known was begun to be read
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-refresh.C:
		}
		refresh.Reset(d.catalog.opt.Refresh)
		if d.sessions.Load() <= 0 && (d.snapshot.Load() != nil || !d.ahead.Load()) {
			d.Changed() // nobody looks, so nobody knows
			continue
		}
		began := time.Now()
		pause := leastPause
		if d.read(ctx) {
			last, failed = began, 0
			pause = max(pause, (ratio-1)*time.Since(began))
		} else {
			failed = min(max(2*failed, 10*leastPause), d.catalog.opt.Refresh)
			pause = failed
			if time.Since(last) > 2*d.catalog.opt.Refresh {
				d.Changed() // too old to be told as of now
			}
			d.Read()
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// read makes a new snapshot. Where it cannot, the old one stays, and counts for
// denials.
func (d *Database) read(ctx context.Context) bool {
	c := d.catalog
	ctx, cancel := context.WithTimeout(ctx, mostReading)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false
	}
	began := time.Now()
	// What changes from here on may be in it or not.
	changes := d.changes.Load()
	old, others := d.snapshot.Load(), c.used.Load()
	if old != nil {
		others -= old.size
	}
	fresh, err := d.look(ctx, c.opt.Memory-others)
	if err == nil {
		fresh.changes, fresh.number = changes, 1
		if old != nil {
			fresh.number += old.number
		}
		c.used.Add(fresh.size - sizeOf(old))
		d.snapshot.Store(fresh)
	}
	d.tell(ctx, err, time.Since(began))
	return err == nil
}

func sizeOf(s *Snapshot) int64 {
	if s == nil {
		return 0
	}
	return s.size
}

// look reads the database within so many bytes.
func (d *Database) look(ctx context.Context, most int64) (*Snapshot, error) {
	c := d.catalog
	return Look(ctx, c.backend, c.opt.Role, d.name, c.roles, most, func(s backend.Signature) error {
		return c.hooks.Signing(c.backend.Name(), d.name, s)
	})
}

// Look reads a database once, into a snapshot of at most so many bytes.
func Look(ctx context.Context, b *backend.Backend, role, database string, roles []string, most int64, signing func(backend.Signature) error) (*Snapshot, error) {
	r, err := b.Reader(ctx, backend.Login{Role: role, Database: database, Settings: settings(), Probe: true, Signing: signing})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return read(ctx, r, role, roles, most)
}

// tell says what came of a reading: in the log where that is another thing than
// before.
func (d *Database) tell(ctx context.Context, err error, took time.Duration) {
	if ctx.Err() != nil && d.catalog.ctx.Err() != nil {
		return // closed meanwhile
	}
	h, log := &d.catalog.hooks, d.catalog.hooks.Log.With("backend", d.catalog.backend.Name(), "database", d.name)
	known := d.snapshot.Load()
	rd := Reading{Backend: d.catalog.backend.Name(), Database: d.name, Result: Done, Size: sizeOf(known), Took: took}
	if known != nil {
		rd.Objects = known.Objects()
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		rd.Result = TooLarge
	case err != nil:
		rd.Result = Failed
	}
	h.Read(rd)
	switch {
	case err != nil && !d.silent:
		log.Warn("the catalog cannot be read: names are taken as the texts have them, denials go by what was read before", "error", err)
	case err == nil && d.silent:
		log.Info("the catalog can be read again", "objects", rd.Objects)
	case err == nil:
		log.Debug("the catalog was read", "objects", rd.Objects, "bytes", rd.Size, "took", took)
	}
	d.silent = err != nil
}
