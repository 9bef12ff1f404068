package startup

import (
	"net/netip"
	"sync"
)

// Regulars are the addresses from which somebody has logged in lately. Some places are
// theirs, so that no crowd of strangers keeps out those who come each day. What is
// remembered is bounded: in two generations, of which the older one is forgotten.
type Regulars struct {
	mu         sync.Mutex
	young, old map[netip.Prefix]struct{} // guarded by mu
}

const mostRegulars = 1 << 14

// Add remembers an address.
func (r *Regulars) Add(addr netip.Addr) {
	key := Source(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || len(r.young) >= mostRegulars {
		r.old, r.young = r.young, make(map[netip.Prefix]struct{})
	}
	r.young[key] = struct{}{}
}

// Has reports whether an address is remembered.
func (r *Regulars) Has(addr netip.Addr) bool {
	key := Source(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, young := r.young[key]
	_, old := r.old[key]
	return young || old
}
