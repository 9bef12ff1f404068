// Package ration bounds what the process takes of the machine's memory.
//
// What counts is what Go's runtime has of the system: the heap with what is no longer
// used and not yet collected, stacks, and the runtime's own. The collector works harder
// from four fifths of the limit on, so that beyond nine tenths most of it is in use.
// Not counted are mapped files (the journal's segments, which the system can write back)
// and the parser workers, each with a bound of its own.
package ration

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Budget is a limit and what is left of it. A nil one has none.
type Budget struct {
	limit atomic.Int64 // bytes
	seen  atomic.Int64 // bytes at the last look

	mu      sync.Mutex
	samples [2]metrics.Sample // guarded by mu
	looked  time.Time         // guarded by mu: when seen was read
	since   int64             // guarded by mu: bytes that were allowed since
}

// New makes a budget, and has the collector keep to it.
func New(limit int64) *Budget {
	b := &Budget{}
	b.samples[0].Name = "/memory/classes/total:bytes"
	b.samples[1].Name = "/memory/classes/heap/released:bytes"
	b.SetLimit(limit)
	return b
}

// SetLimit changes the limit, in bytes.
func (b *Budget) SetLimit(limit int64) {
	b.limit.Store(limit)
	debug.SetMemoryLimit(limit / 5 * 4)
}

// Close has the collector do as it did.
func (b *Budget) Close() { debug.SetMemoryLimit(math.MaxInt64) }

// Limit is the limit in bytes.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// fresh is how long a look counts: looking costs microseconds.
const fresh = 10 * time.Millisecond

// Used looks how much is in use, in bytes.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.look()
}

// look returns what is in use with what was allowed since. mu is held.
func (b *Budget) look() int64 {
	if now := time.Now(); now.Sub(b.looked) >= fresh {
		metrics.Read(b.samples[:])
		b.seen.Store(int64(b.samples[0].Value.Uint64() - b.samples[1].Value.Uint64()))
		b.looked, b.since = now, 0
	}
	return b.seen.Load() + b.since
}

// Allow reports whether n more bytes are within the limit. Those that are count at
// once.
func (b *Budget) Allow(n int) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.look()+int64(n) > b.Limit() {
		return false
	}
	b.since += int64(n)
	return true
}

// Crowded reports whether so little is left, a tenth, that nobody new is to come. It
// goes by the last look, and takes no time.
func (b *Budget) Crowded() bool { return b != nil && b.seen.Load() > b.Limit()/10*9 }

// Exceeded looks whether more than the limit is in use.
func (b *Budget) Exceeded() bool { return b != nil && b.Used() > b.Limit() }
