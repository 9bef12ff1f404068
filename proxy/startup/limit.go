package startup

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Limiter bounds the connections that are not authenticated yet: in all, and of
// one address. IPv6 addresses count by their /64.
//
// Where all places are taken, who has been waited for longest makes room: clients say
// what they have to within moments, and those that hold places to keep others out do not.
// The last tenth of the places is for regulars.
type Limiter struct {
	most, mostPerSource int
	patience            time.Duration
	regulars            *Regulars

	mu       sync.Mutex
	n        int
	bySource map[netip.Prefix]int
	waited   list.List // guarded by mu: *Place, of connections that the proxy waits for, the oldest first
}

// NewLimiter makes a limiter; a bound of 0 is none. For as long as patience a connection
// is waited for, whoever else comes.
func NewLimiter(most, mostPerSource int, patience time.Duration, regulars *Regulars) *Limiter {
	return &Limiter{most: most, mostPerSource: mostPerSource, patience: patience, regulars: regulars, bySource: make(map[netip.Prefix]int)}
}

// Place is that of one connection.
type Place struct {
	limiter *Limiter
	addr    netip.Addr
	since   time.Time
	yield   func()

	// Guarded by limiter.mu.
	waited    *list.Element // nil where the proxy does not wait for the client
	left      bool
	displaced bool
}

// Enter takes a place in all for a connection from addr; nil where there is none. Yield is called, once, when the
// place is needed for somebody else: it has the connection's calls return, and must not
// call the limiter.
func (l *Limiter) Enter(addr netip.Addr, yield func()) *Place {
	most := l.most
	if !l.regulars.Has(addr) {
		most -= l.most / 10
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && l.n >= most && !l.displace() {
		return nil
	}
	l.n++
	p := &Place{limiter: l, addr: addr, since: time.Now(), yield: yield}
	p.waited = l.waited.PushBack(p)
	return p
}

// displace makes room. mu is held.
func (l *Limiter) displace() bool {
	first := l.waited.Front()
	if first == nil {
		return false
	}
	p := first.Value.(*Place)
	if time.Since(p.since) < l.patience {
		return false
	}
	p.displaced = true
	p.leave()
	p.yield()
	return true
}

// Leave gives the place back. It may be called more than once.
func (p *Place) Leave() {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	p.leave()
}

func (p *Place) leave() {
	if p.left {
		return
	}
	p.left = true
	p.limiter.n--
	p.heard()
}

// Succeeded gives the place back of a client that has proved who it is: its address is a
// regular's from now on.
func (p *Place) Succeeded() {
	p.limiter.regulars.Add(p.addr)
	p.Leave()
}

// Heard says that the client has said what it has to: what takes time from now on is
// not its doing, and nobody displaces it.
func (p *Place) Heard() {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	p.heard()
}

func (p *Place) heard() {
	if p.waited != nil {
		p.limiter.waited.Remove(p.waited)
		p.waited = nil
	}
}

// Displaced reports whether somebody else has the place now.
func (p *Place) Displaced() bool {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.displaced
}

// Admit takes a place for a connection from addr.
func (l *Limiter) Admit(addr netip.Addr) (release func(), ok bool) {
	key := Source(addr)
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

// Source is what counts as one source: an IPv6 address by its /64.
func Source(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() || addr.Is4In6() {
		addr, bits = addr.Unmap(), 32
	}
	key, _ := addr.Prefix(bits)
	return key
}
