package statement

import (
	"cmp"
	"time"
)

// Options bound the reading of texts. The zero value of each means its default.
type Options struct {
	Workers    int           // parser processes; 2
	Timeout    time.Duration // of one parse, from when a worker has it; 1 s
	Wait       time.Duration // for a worker that is free; 2 s
	MaxText    int           // bytes of one text that is parsed, beyond it is Unknown; 4 MiB
	CacheBytes int64         // that the cache of judgements may hold; 64 MiB
	Memory     uint64        // bytes of data that one worker may use (RLIMIT_DATA); 1 GiB
}

func (o Options) withDefaults() Options {
	return Options{
		Workers:    cmp.Or(o.Workers, 2),
		Timeout:    cmp.Or(o.Timeout, time.Second),
		Wait:       cmp.Or(o.Wait, 2*time.Second),
		MaxText:    cmp.Or(o.MaxText, 4<<20),
		CacheBytes: cmp.Or(o.CacheBytes, 64<<20),
		Memory:     cmp.Or(o.Memory, 1<<30),
	}
}

// Death is the loss of a parser worker.
type Death struct {
	Cause  Cause  // of the judgement that it cost; CauseNone for a worker that was idle
	Bytes  int    // length of the text that it was reading
	PID    int    // of the worker
	Detail string // how it ended, and what went wrong before: "signal: killed"
}

// Hooks are what a Reader calls, and what happens beside the judgements. Each may be nil.
type Hooks struct {
	// Died is called, from a goroutine of the pool, for each worker that is lost
	// other than by Close. It must not call Close.
	Died func(Death)
	// Digest computes Statement.Digest, once for each text that is read; without it
	// that stays zero.
	Digest func(text string) [32]byte
}

// Stats are counted since Open.
type Stats struct {
	Hits, Misses  uint64 // of Cached
	Masked        uint64 // hits by the text with its literals masked
	Unknown       uint64 // judgements of class Unknown that Judge gave
	Deaths        uint64 // workers lost
	Entries       int    // in the cache
	CacheBytes    int64  // that they hold, about
	Evictions     uint64
	WorkersOnCall int // workers that are running
	Waiting       int // texts that wait for one
}
