package throttle

import (
	"net/netip"
	"time"
)

// level is how many wrong names and passwords an address has sent, less those that
// time has worn off.
type level struct {
	n  float64
	at time.Time
}

// prefix is what stands for an address: IPv6 addresses count by their /64.
func prefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits)
	return p
}

func (l *level) now(t time.Time, p *Policy) float64 {
	worn := t.Sub(l.at).Seconds() / p.SourceWindow.Seconds() * float64(p.PerSource)
	return max(0, l.n-worn)
}

// Source refuses an address that has sent too many wrong names and passwords.
func (t *Throttle) Source(addr netip.Addr, p Policy) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refuseSource(prefix(addr), &p)
}

// Unknown counts a name that is nobody's.
func (t *Throttle) Unknown(addr netip.Addr, p Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countSource(prefix(addr), &p)
}

func (t *Throttle) refuseSource(source netip.Prefix, p *Policy) error {
	if l := t.sources[source]; l != nil && l.now(t.now(), p) > float64(p.PerSource)-1 {
		return throttled("%d wrong names and passwords from %s in %s", p.PerSource, source, p.SourceWindow)
	}
	return nil
}

// countSource forgets those that have worn off when there are too many. Where all
// are busy, a new one is not counted: each account's own count goes on.
func (t *Throttle) countSource(source netip.Prefix, p *Policy) {
	now := t.now()
	l := t.sources[source]
	if l == nil {
		if len(t.sources) >= mostSources {
			for s, other := range t.sources {
				if other.now(now, p) == 0 {
					delete(t.sources, s)
				}
			}
		}
		if len(t.sources) >= mostSources {
			return
		}
		l = &level{}
		t.sources[source] = l
	}
	l.n, l.at = l.now(now, p)+1, now
}
