package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is what is at least allocated between two garbage collections, in
// bytes. A quiet proxy keeps a few megabytes alive; with Go's own rule, which
// collects when they have doubled, collecting is a third of what a log-in costs.
const headroom = 32 << 20

// goPercent is Go's own rule.
const goPercent = 100

// collectSeldom keeps the headroom, for as long as the process runs. Where GOGC is
// set in the environment, that is what holds.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		(&pace{goPercent, []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}).adjust()
	}
}

// pace is garbage after each collection, and set anew then. Without a pointer in it,
// it could share its block with what lives for ever.
type pace struct {
	percent int
	live    []metrics.Sample
}

func (p *pace) adjust() {
	metrics.Read(p.live)
	percent := percentFor(p.live[0].Value.Uint64())
	if drift := percent - p.percent; drift > p.percent/8 || drift < -p.percent/8 {
		debug.SetGCPercent(percent)
		p.percent = percent
	}
	runtime.SetFinalizer(p, (*pace).adjust)
}

// percentFor returns how much the heap may grow, in percent of what is alive.
func percentFor(live uint64) int {
	const small = 1 << 20
	return max(goPercent, int(100*headroom/max(live, small)))
}
