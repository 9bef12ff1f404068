// Package services looks after the declared services: it warns before their
// declarations end, watches the accounts of their owners, and puts services in
// quarantine whose owner is gone for longer than the declaration allows.
//
// A Keeper asks the directory about every service and its owner once in a period.
// What has to outlive the process it keeps in one file: who is in quarantine, since
// when an owner is gone, what was warned of, and when a service was last used.
package services

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
)

// Target is whose services are looked after.
type Target interface {
	// Resolver reads accounts, by the configuration in force.
	Resolver() auth.Resolver
	// Quarantine keeps out the services with these SIDs, each for its reason.
	Quarantine(services map[string]string, since time.Time) (ended int)
	// Used tells when a service last began a session, and how many it has.
	Used(*auth.Identity) (last time.Time, sessions int)
}

// Options are what a Keeper works with.
type Options struct {
	Directory string // of the file
	Target    Target
	Recorder  audit.Recorder
	Log       *slog.Logger
}

// Keeper looks after services.
type Keeper struct {
	o    Options
	wake chan struct{} // a token when the declarations are others

	// Owned by Watch.
	memory memory
	saved  []byte // the file's

	mu       sync.Mutex
	declared map[string]auth.Terms // guarded by mu
	period   time.Duration         // guarded by mu
	status   []Status              // guarded by mu
}

// Open reads what was remembered, and puts in force who is in quarantine. A file
// that cannot be read is an error: who is in quarantine is not to get out for that.
func Open(o Options) (*Keeper, error) {
	k := &Keeper{o: o, wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(o.Directory, 0o700); err != nil {
		return nil, err
	}
	if err := k.load(); err != nil {
		return nil, err
	}
	k.quarantine(time.Now())
	return k, nil
}

// Declare says which services there are, by sAMAccountName, and how often they are
// looked after.
func (k *Keeper) Declare(services map[string]auth.Terms, period time.Duration) {
	k.mu.Lock()
	k.declared, k.period = services, period
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *Keeper) declarations() (map[string]auth.Terms, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.declared, k.period
}

// Watch looks after the services until ctx ends.
func (k *Keeper) Watch(ctx context.Context) {
	_, period := k.declarations()
	tick := time.NewTicker(max(period, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			k.save() // when they were last used
			return
		case <-tick.C:
		case <-k.wake:
			_, period := k.declarations()
			tick.Reset(max(period, time.Second))
		}
		k.round(ctx)
	}
}

// round looks after each service once.
func (k *Keeper) round(ctx context.Context) {
	declared, _ := k.declarations()
	began := time.Now()
	var list []Status
	resolver := &oneChance{Resolver: k.o.Target.Resolver(), down: map[string]error{}}
	for _, account := range slices.Sorted(maps.Keys(declared)) {
		terms := declared[account]
		list = append(list, k.look(ctx, resolver, account, &terms))
	}
	if ctx.Err() != nil {
		return // what could not be read in time tells nothing
	}
	maps.DeleteFunc(k.memory, func(account string, _ *remembered) bool { _, there := declared[account]; return !there })
	k.quarantine(began)
	k.save()
	k.mu.Lock()
	k.status = list
	k.mu.Unlock()
}

// look looks after one service.
func (k *Keeper) look(ctx context.Context, resolver auth.Resolver, account string, terms *auth.Terms) Status {
	m := k.memory[account]
	if m == nil {
		m = &remembered{}
		k.memory[account] = m
	}
	id, err := resolver.Lookup(ctx, account)
	state := stateOf(&id, err)
	if id.SID == "" {
		id.Account, id.SID, id.Kind, id.Owner = account, m.SID, auth.Service, terms.Owner
	}
	m.is(id.SID)
	last, sessions := k.o.Target.Used(&id)
	m.use(last, sessions)
	k.ending(&id, terms, m)
	owner := k.owner(ctx, resolver, &id, terms, m)
	if m.Quarantined != "" {
		state = stateQuarantined
	}
	return newStatus(account, id.Domain, state, owner, sessions, terms, m)
}

// quarantine puts in force who is in quarantine.
func (k *Keeper) quarantine(since time.Time) {
	out := make(map[string]string)
	for _, m := range k.memory {
		if m.Quarantined == "" {
			continue
		}
		for _, sid := range append(m.Others, m.SID) {
			if sid != "" {
				out[sid] = m.Quarantined
			}
		}
	}
	k.o.Target.Quarantine(out, since)
}

// tell records what happened to a service, and warns of it. What is not on record
// did not happen yet: it is told again in the next round.
func (k *Keeper) tell(id *auth.Identity, cause, detail string) bool {
	_, err := k.o.Recorder.Record(&audit.Event{
		Type: audit.Account, Decision: audit.Allowed, Cause: cause, Detail: detail, Rows: -1,
		Context: &audit.Context{Principal: audit.Principal{
			Account: id.Handle(), UPN: id.UPN, SID: id.SID, GUID: id.GUID, DN: id.DN, Kind: string(id.Kind), Owner: id.Owner,
		}},
	})
	if err != nil {
		k.o.Log.Error("record", "type", audit.Account, "service", id.Account, "cause", cause, "error", err)
		return false
	}
	k.o.Log.Warn("service", "service", id.Account, "cause", cause, "detail", detail)
	return true
}

// oneChance asks a directory that does not answer no second time.
type oneChance struct {
	auth.Resolver
	down map[string]error // by domain, as a name has it
}

func (r *oneChance) Lookup(ctx context.Context, name string) (auth.Identity, error) {
	domain, _, named := strings.Cut(name, `\`)
	if !named {
		_, domain, _ = strings.Cut(name, "@")
	}
	return r.once(strings.ToLower(domain), func() (auth.Identity, error) { return r.Resolver.Lookup(ctx, name) })
}

func (r *oneChance) Refresh(ctx context.Context, id auth.Identity) (auth.Identity, error) {
	domain := id.SID[:max(strings.LastIndexByte(id.SID, '-'), 0)]
	return r.once(domain, func() (auth.Identity, error) { return r.Resolver.Refresh(ctx, id) })
}

func (r *oneChance) once(domain string, read func() (auth.Identity, error)) (auth.Identity, error) {
	if down := r.down[domain]; down != nil {
		return auth.Identity{}, down
	}
	id, err := read()
	var f *auth.Failure
	if errors.As(err, &f) && f.Cause == auth.CauseDirectoryDown {
		r.down[domain] = err
	}
	return id, err
}
