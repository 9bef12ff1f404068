package directory

import (
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

const (
	// mostKnown bounds the groups that are known by name: some 200 bytes each.
	mostKnown = 4096
	// knownFor is how long a name is taken at most, whatever is told of changes.
	knownFor = time.Minute
	// trustFor is for how long after a watch began to ask what has changed that is
	// taken for true.
	trustFor = 2 * watchPeriod
)

// known are the names of groups, as one controller said them. Who somebody is, and
// which groups they are in, is always asked; what these are called is taken from here,
// but only while a watch stands at that controller and tells of all that changes:
// everything is forgotten with the first change of anything but an account, and when
// the watch ends; nothing is taken when the watch has not asked for trustFor. The watch
// itself takes nothing from here: what it reads corrects who logged in with an old name.
//
// A SID is never given to another group. It is safe for concurrent use; nil knows
// nothing.
type known struct {
	mu      sync.Mutex
	groups  map[string]knownGroup // guarded by mu; by the SID's bytes
	epoch   uint64                // guarded by mu: how often everything was forgotten
	trusted time.Time             // guarded by mu: until when
}

type knownGroup struct {
	auth.Group
	until time.Time
}

// recall returns the group with a SID, as it is known.
func (k *known) recall(sid []byte) (auth.Group, bool) {
	if k == nil {
		return auth.Group{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.groups) == 0 {
		return auth.Group{}, false
	}
	g, found := k.groups[string(sid)]
	if now := time.Now(); !found || !now.Before(k.trusted) || !now.Before(g.until) {
		return auth.Group{}, false
	}
	return g.Group, true
}

// begin is called before groups are asked for, and says when that is, for learn.
func (k *known) begin() (epoch uint64) {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch
}

// learn keeps what a group was said to be, unless something has changed since it was
// asked for: the answer may be from before.
func (k *known) learn(epoch uint64, sid []byte, g *auth.Group) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if epoch != k.epoch || !now.Before(k.trusted) {
		return
	}
	for other := range k.groups {
		if len(k.groups) < mostKnown {
			break
		}
		delete(k.groups, other)
	}
	if k.groups == nil {
		k.groups = make(map[string]knownGroup)
	}
	k.groups[string(sid)] = knownGroup{*g, now.Add(knownFor)}
}

// forget is told that something has changed.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch++
	k.groups = nil
}

// confirm is told that all changes up to then were told of.
func (k *known) confirm(then time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trusted = then.Add(trustFor)
}

// distrust is told that nobody watches any more.
func (k *known) distrust() {
	k.forget()
	k.confirm(time.Time{})
}
