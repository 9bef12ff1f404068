package catalog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/proxy/backend"
)

// Options say how a backend's catalog is read.
type Options struct {
	Role    string        // that reads; it needs no privilege but to log in
	Refresh time.Duration // how often a database is read where no change of it was seen
	Memory  int64         // bytes that the snapshots of all databases take together, about
}

// Hooks are what a catalog tells, and asks for.
type Hooks struct {
	// Signing is told of each certificate before it is signed for the role, and
	// prevents it by an error.
	Signing func(backend, database string, s backend.Signature) error
	// Read hears of each reading.
	Read func(Reading)
	Log  *slog.Logger
}

// Result is what came of a reading.
type Result string

// The results.
const (
	Done     Result = "read"
	Failed   Result = "failed"
	TooLarge Result = "too_large" // for its share of the memory
)

// Reading is one pass over the catalog of a database.
type Reading struct {
	Backend, Database string
	Result            Result
	Objects           int   // of the snapshot that is in force now
	Size              int64 // bytes
	Took              time.Duration
}

// Catalog is that of one backend: a snapshot for each database that sessions are in.
type Catalog struct {
	opt     Options
	roles   []string
	backend *backend.Backend
	hooks   Hooks
	ctx     context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
	used    atomic.Int64  // bytes of all snapshots
	turn    chan struct{} // a token: one database is read at a time

	mu        sync.Mutex
	databases map[string]*Database // guarded by mu
	closed    bool                 // guarded by mu
}

// mostDatabases bounds those of one backend that are read. Names come from clients,
// but only of databases that they could log in to.
const mostDatabases = 64

// Open makes a catalog. It connects to nothing before a session is in a database, or
// Ahead asks for one.
// roles are those that sessions log in as.
func Open(opt Options, roles []string, b *backend.Backend, hooks Hooks) *Catalog {
	c := &Catalog{opt: opt, roles: roles, backend: b, hooks: hooks, databases: map[string]*Database{}, turn: make(chan struct{}, 1)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Database returns what is known of a database, and begins to read it; nil where
// there are too many, or the catalog is closed or itself nil.
func (c *Catalog) Database(name string) *Database {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.databases[name]
	if d != nil || c.closed {
		return d
	}
	if len(c.databases) >= mostDatabases {
		c.hooks.Log.Warn("too many databases: names in this one are not resolved", "backend", c.backend.Name(), "database", name, "most", mostDatabases)
		return nil
	}
	return c.add(name, nil)
}

// Ahead has databases read that sessions are going to be in, so that what is behind
// their names can be denied to the first of them.
func (c *Catalog) Ahead(databases []string) {
	for _, name := range databases {
		if d := c.Database(name); d != nil {
			d.ahead.Store(true)
			if s, _ := d.View(); s == nil {
				d.Read()
			}
		}
	}
}

// add makes a database, and what reads it. mu is held.
func (c *Catalog) add(name string, known *Snapshot) *Database {
	d := &Database{catalog: c, name: name, wake: make(chan struct{}, 1)}
	if known != nil {
		d.snapshot.Store(known)
		d.changes.Store(known.changes + 1) // it counts for denials until there is another
		c.used.Add(known.size)
	}
	c.databases[name] = d
	c.work.Go(func() { d.run(c.ctx) })
	return d
}

// Adopt takes over what another catalog of the same servers has read, as of before
// now: a reload is no moment in which nothing is known.
func (c *Catalog) Adopt(old *Catalog) {
	if c == nil || old == nil || !sameHosts(c.backend, old.backend) {
		return
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, d := range old.databases {
		known := d.snapshot.Load()
		if known != nil && c.databases[name] == nil && c.used.Load()+known.size <= c.opt.Memory {
			c.add(name, known)
		}
	}
}

func sameHosts(a, b *backend.Backend) bool {
	x, y := a.Options().Hosts, b.Options().Hosts
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

// Close ends the readings. What sessions hold goes on to say what it knows, as of
// before.
func (c *Catalog) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	for _, d := range c.databases {
		d.Changed()
	}
	c.mu.Unlock()
	c.stop()
	c.work.Wait()
}
