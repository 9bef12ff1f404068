package proxy

import (
	"slices"
	"sync"

	"github.com/pgcustos/pgcustos/auth"
)

// reading is an account as it was read last, while it has sessions. They share it: a
// pool's connections are of one account, whose groups may be a thousand.
type reading struct {
	mu   sync.Mutex
	last auth.Identity // guarded by mu
}

// share puts what was read before in the place of what is the same in id.
func (r *reading) share(id *auth.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range []struct{ old, now *string }{
		{&r.last.Account, &id.Account},
		{&r.last.UPN, &id.UPN},
		{&r.last.Domain, &id.Domain},
		{&r.last.NetBIOS, &id.NetBIOS},
		{&r.last.DN, &id.DN},
		{&r.last.SID, &id.SID},
		{&r.last.GUID, &id.GUID},
		{&r.last.Owner, &id.Owner},
	} {
		if *s.old == *s.now {
			*s.now = *s.old
		}
	}
	if slices.Equal(r.last.Groups, id.Groups) {
		id.Groups = r.last.Groups
	}
	r.last = *id
}

func (r *reading) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = auth.Identity{}
}
