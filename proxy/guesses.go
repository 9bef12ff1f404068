package proxy

import (
	"net/netip"
	"sync"

	"github.com/pgcustos/pgcustos/proxy/startup"
)

// guesses counts the wrong cancel keys of a period.
type guesses struct {
	mu       sync.Mutex
	bySource map[netip.Prefix]int // guarded by mu
	all      int                  // guarded by mu
}

const (
	// mostWrongKeys is how many cancel keys one source may guess in one period.
	mostWrongKeys = 10
	// mostWrongKeysOfAll is how many all may: then only those may cancel who come from
	// where somebody has logged in lately.
	mostWrongKeysOfAll = mostStrangers * mostWrongKeys
)

// wrong counts one.
func (g *guesses) wrong(source netip.Addr) {
	key := startup.Source(source)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all++
	if g.bySource == nil {
		g.bySource = make(map[netip.Prefix]int)
	}
	if len(g.bySource) < mostStrangers || g.bySource[key] > 0 {
		g.bySource[key]++
	}
}

// barred reports whether the source may not cancel for now.
func (g *guesses) barred(source netip.Addr, regular bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bySource[startup.Source(source)] >= mostWrongKeys || g.all >= mostWrongKeysOfAll && !regular
}

// forget begins another period.
func (g *guesses) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.bySource)
	g.all = 0
}
