package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// headroom is what is at least allocated between two garbage collections, in
// bytes. A quiet proxy keeps a few megabytes alive; with Go's own rule, which
// collects when they have doubled, collecting is a third of what a log-in costs. More
// of it spreads what lives for long over more memory.
const headroom = 8 << 20

// goPercent is Go's own rule.
const goPercent = 100

// collectSeldom keeps the headroom, for as long as the process runs. Where GOGC is
// set in the environment, that is what holds.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		(&pace{goPercent, samples("/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes")}).adjust()
	}
}

func samples(names ...string) []metrics.Sample {
	list := make([]metrics.Sample, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// pace is garbage after each collection, and set anew then. Without a pointer in it,
// it could share its block with what lives for ever.
type pace struct {
	percent int
	scanned []metrics.Sample // what a collection goes through
}

func (p *pace) adjust() {
	metrics.Read(p.scanned)
	var scanned uint64
	for _, s := range p.scanned {
		scanned += s.Value.Uint64()
	}
	percent := percentFor(scanned)
	if drift := percent - p.percent; drift > p.percent/8 || drift < -p.percent/8 {
		debug.SetGCPercent(percent)
		p.percent = percent
	}
	runtime.SetFinalizer(p, (*pace).adjust)
}

// percentFor returns how much the heap may grow, in percent of what is scanned.
func percentFor(scanned uint64) int {
	const small = 1 << 20
	return max(goPercent, int(100*headroom/max(scanned, small)))
}

// What is left behind when log-ins have come and gone is given back to the system in
// the next quiet second, where it is worth that: sessions themselves allocate
// nothing, so that it would stay for as long as they live.
const (
	quietAllocation = 1 << 20 // bytes in a second
	worthwhile      = 2 << 20 // bytes, and an eighth of what is alive
)

// giveBack does that until ctx ends. It returns at once where GOGC is set.
func giveBack(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	r := newRemains()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.worthGiving() {
				debug.FreeOSMemory()
			}
		}
	}
}

// remains is what the heap holds.
type remains struct {
	samples   []metrics.Sample
	allocated uint64 // in all, when it was looked at last
}

func newRemains() remains {
	return remains{samples: samples(
		"/gc/heap/allocs:bytes", "/memory/classes/heap/objects:bytes", "/memory/classes/heap/free:bytes", "/gc/heap/live:bytes")}
}

// worthGiving counts what a collection has found to be free as well: where the last one
// came with the last log-ins, that is all there is, and Go keeps it for the heap to double.
func (r *remains) worthGiving() bool {
	metrics.Read(r.samples)
	var v [4]uint64
	for i := range v {
		v[i] = r.samples[i].Value.Uint64()
	}
	allocated, held, live := v[0], v[1]+v[2], v[3]
	fresh := allocated - r.allocated
	r.allocated = allocated
	return fresh < quietAllocation && held > live+max(worthwhile, live/8)
}
