package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// roll is who is in session, for tests.
type roll struct {
	mu       sync.Mutex
	accounts map[string]auth.Identity // guarded by mu, by key
	failed   map[string]error         // guarded by mu
	heard    map[string]time.Time     // guarded by mu; Since of the last change
	sure     map[string]int           // guarded by mu; confirmations
	changes  int                      // guarded by mu
}

func newRoll(ids ...auth.Identity) *roll {
	r := &roll{accounts: map[string]auth.Identity{}, failed: map[string]error{}, heard: map[string]time.Time{}, sure: map[string]int{}}
	for _, id := range ids {
		r.accounts[id.Key()] = id
	}
	return r
}

func (r *roll) Accounts() []auth.Identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.accounts))
}

func (r *roll) Changed(c auth.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	r.heard[c.Key] = c.Since
	if c.Err != nil {
		r.failed[c.Key] = c.Err
		delete(r.accounts, c.Key)
		return
	}
	r.accounts[c.Key] = r.accounts[c.Key].After(&c)
}

func (r *roll) Confirmed(guids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range guids {
		r.sure[g]++
	}
}

func (r *roll) get(guid string) auth.Identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accounts[guid]
}

func (r *roll) confirmations(guid string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sure[guid]
}

// watchOver has the accounts watched until the test ends, and waits until they were
// read, and looked at, once.
func watchOver(t *testing.T, d *Directory, accounts ...string) (*roll, map[string]string) {
	t.Helper()
	guids := map[string]string{}
	r := newRoll()
	for _, a := range accounts {
		id, err := d.Lookup(t.Context(), a)
		must(t, err)
		guids[a] = id.Key()
		r.accounts[id.Key()] = id
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { d.Watch(ctx, r) })
	t.Cleanup(func() { cancel(); work.Wait() })
	until(t, "the first look", func() bool {
		for _, g := range guids {
			if r.confirmations(g) == 0 {
				return false
			}
		}
		return true
	})
	return r, guids
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	must(t, testkit.WaitFor(within(t, 30*time.Second), func() error {
		if !holds() {
			return fmt.Errorf("not yet: %s", what)
		}
		return nil
	}))
}

const watchedPassword = "Watched-0ver-and-over"

// TestWatch makes each change that matters, and waits until it is told.
func TestWatch(t *testing.T) {
	d, dc := openShared(t)
	ctx := t.Context()
	must(t, dc.CreateGroup(ctx, "Watch-Top"))
	must(t, dc.CreateGroup(ctx, "Watch-Mid"))
	must(t, dc.CreateGroup(ctx, "Watch-Low"))
	must(t, dc.AddToGroup(ctx, "Watch-Low", "Watch-Mid"))
	must(t, dc.AddToGroup(ctx, "Watch-Mid", "Watch-Top"))
	names := []string{"w-disabled", "w-deleted", "w-locked", "w-expires", "w-nested", "w-renamed", "w-joins", "w-password"}
	for _, name := range names {
		must(t, dc.CreateUser(ctx, name, watchedPassword, "Watch-Low"))
	}
	r, guid := watchOver(t, d, names...)
	in := func(account, group string) bool { return groupNames(r.get(guid[account]))[group] }

	must(t, dc.Disable(ctx, "w-disabled"))
	until(t, "disabled", func() bool { return r.get(guid["w-disabled"]).State&auth.Disabled != 0 })
	must(t, dc.Delete(ctx, "w-deleted"))
	until(t, "deleted", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.failed[guid["w-deleted"]] != nil })
	wantCause(t, r.failed[guid["w-deleted"]], auth.CauseNoSuchAccount)
	must(t, dc.LockOut(ctx, "w-locked"))
	until(t, "locked", func() bool { return r.get(guid["w-locked"]).State&auth.LockedOut != 0 })
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	must(t, dc.SetExpiry(ctx, "w-expires", soon))
	until(t, "the expiry", func() bool { return r.get(guid["w-expires"]).Expires.Equal(soon) })
	must(t, dc.Rename(ctx, "w-renamed", "w-other"))
	until(t, "the other name", func() bool { return r.get(guid["w-renamed"]).UPN == "w-other@"+testkit.Domain })
	must(t, dc.SetPassword(ctx, "w-password", "An0ther-password"))
	until(t, "the new password", func() bool { return time.Since(r.get(guid["w-password"]).PasswordSet) < time.Minute })

	must(t, dc.AddToGroup(ctx, "w-joins", testkit.GroupReaders))
	until(t, "the new group", func() bool { return in("w-joins", testkit.GroupReaders) })
	must(t, dc.AddToGroup(ctx, "Watch-Top", testkit.GroupMigrations))
	until(t, "the group nested elsewhere", func() bool { return in("w-nested", testkit.GroupMigrations) })
	must(t, dc.RemoveFromGroup(ctx, "Watch-Mid", "Watch-Top"))
	until(t, "the group taken out", func() bool { return !in("w-nested", testkit.GroupMigrations) && in("w-nested", "Watch-Mid") })
	must(t, dc.Delete(ctx, "Watch-Mid"))
	until(t, "the group deleted", func() bool { return !in("w-nested", "Watch-Mid") && in("w-nested", "Watch-Low") })
}

// TestWatchQuiet: who has not changed is not read again.
func TestWatchQuiet(t *testing.T) {
	d, dc := openShared(t)
	must(t, dc.CreateUser(t.Context(), "w-quiet", watchedPassword))
	must(t, dc.CreateUser(t.Context(), "w-loud", watchedPassword))
	r, guid := watchOver(t, d, "w-quiet")
	r.mu.Lock()
	before := r.changes
	r.mu.Unlock()
	must(t, dc.Disable(t.Context(), "w-loud"))
	must(t, dc.AddToGroup(t.Context(), "w-loud", testkit.GroupAuditors))
	sure := r.confirmations(guid["w-quiet"])
	until(t, "more looks", func() bool { return r.confirmations(guid["w-quiet"]) > sure+2 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes != before {
		t.Errorf("read %d times again", r.changes-before)
	}
}

// TestWatchFailsOver: a controller freezes, and the next one is watched, from which
// everything is read again.
func TestWatchFailsOver(t *testing.T) {
	first, second := testkit.NewController(t, testkit.Options{}), testkit.SharedController(t)
	pool := first.CA.Pool()
	pool.AddCert(second.CA.Cert)
	o := testOptions(pool, first.URL, second.URL)
	o.Timeout = time.Second
	d := openDirectory(t, o)
	r, guid := watchOver(t, d, "alice", "bob")
	must(t, first.Freeze())
	// What happens now is told by the other controller alone.
	must(t, second.SetAttribute(t.Context(), "bob", "description", "x"))
	before := r.confirmations(guid["alice"])
	until(t, "confirmed by the other", func() bool { return r.confirmations(guid["alice"]) > before+1 })
	must(t, second.SetExpiry(t.Context(), "alice", time.Now().Add(48*time.Hour)))
	until(t, "a change at the other", func() bool { return !r.get(guid["alice"]).Expires.IsZero() })
	must(t, second.SetExpiry(t.Context(), "alice", time.Time{}))
	until(t, "its end", func() bool { return r.get(guid["alice"]).Expires.IsZero() })
	must(t, first.Thaw())
}
