package startup

import (
	"net/netip"
	"sync"
)

// Limiter bounds the connections that are not authenticated yet: in all, and of
// one address. IPv6 addresses count by their /64.
type Limiter struct {
	most, mostPerSource int

	mu       sync.Mutex
	n        int
	bySource map[netip.Prefix]int
}

// NewLimiter makes a limiter; a bound of 0 is none.
func NewLimiter(most, mostPerSource int) *Limiter {
	return &Limiter{most: most, mostPerSource: mostPerSource, bySource: make(map[netip.Prefix]int)}
}

// Enter takes a place in all. ok is false where there is none; otherwise release
// gives it back, once.
func (l *Limiter) Enter() (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && l.n >= l.most {
		return nil, false
	}
	l.n++
	return sync.OnceFunc(l.leave), true
}

func (l *Limiter) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n--
}

// Admit takes a place for a connection from addr.
func (l *Limiter) Admit(addr netip.Addr) (release func(), ok bool) {
	key := sourceKey(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mostPerSource > 0 && l.bySource[key] >= l.mostPerSource {
		return nil, false
	}
	l.bySource[key]++
	return sync.OnceFunc(func() { l.dismiss(key) }), true
}

func (l *Limiter) dismiss(key netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bySource[key]--; l.bySource[key] == 0 {
		delete(l.bySource, key)
	}
}

// Pending returns how many connections hold a place.
func (l *Limiter) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func sourceKey(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() || addr.Is4In6() {
		addr, bits = addr.Unmap(), 32
	}
	key, _ := addr.Prefix(bits)
	return key
}
