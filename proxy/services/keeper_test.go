package services

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
)

// world is a directory, a server and a journal of which nothing is slow. The real
// ones are in test/lifecycle; the days between warnings pass here alone.
type world struct {
	audit.Recorder
	accounts map[string]auth.Identity // by name
	down     bool
	full     bool // the journal
	asked    int

	told        []string
	quarantined map[string]string
	used        map[string]time.Time
}

var errDown = &auth.Failure{Cause: auth.CauseDirectoryDown}

func newWorld() *world {
	person := func(name, id string) auth.Identity {
		return auth.Identity{Account: name, GUID: "guid-" + id, SID: "S-1-5-21-" + id, Kind: auth.Person}
	}
	return &world{accounts: map[string]auth.Identity{"alice": person("alice", "1"), "svc": person("svc", "2")}, used: map[string]time.Time{}}
}

func (w *world) Resolver() auth.Resolver { return w }

func (w *world) Lookup(_ context.Context, name string) (auth.Identity, error) {
	w.asked++
	if w.down {
		return auth.Identity{}, errDown
	}
	if id, there := w.accounts[name]; there {
		return id, nil
	}
	return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount}
}

func (w *world) Refresh(ctx context.Context, was auth.Identity) (auth.Identity, error) {
	for name, id := range w.accounts {
		if id.GUID == was.GUID {
			return w.Lookup(ctx, name)
		}
	}
	return w.Lookup(ctx, "")
}

func (w *world) Quarantine(services map[string]string, _ time.Time) int {
	w.quarantined = services
	return 0
}

func (w *world) Used(id *auth.Identity) (time.Time, int) { return w.used[id.SID], 0 }

func (w *world) Record(e *audit.Event) (audit.Receipt, error) {
	if w.full {
		return audit.Receipt{}, audit.ErrFull
	}
	w.told = append(w.told, e.Cause+": "+e.Detail)
	return audit.Receipt{}, nil
}

// hears runs a keeper for so long, and returns what was told meanwhile.
func (w *world) hears(t *testing.T, dir string, declared map[string]auth.Terms, d time.Duration) []string {
	t.Helper()
	w.told = nil
	k, err := Open(Options{Directory: dir, Target: w, Recorder: w, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	k.Declare(declared, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	k.Watch(ctx)
	return w.told
}

const days = 24 * time.Hour

func declare(t auth.Terms) map[string]auth.Terms {
	t.Owner = "alice"
	return map[string]auth.Terms{"svc": t}
}

// begins expects what was told to begin so, each in its turn.
func begins(t *testing.T, told []string, want ...string) {
	t.Helper()
	ok := len(told) == len(want)
	for i := range min(len(told), len(want)) {
		ok = ok && strings.HasPrefix(told[i], want[i])
	}
	if !ok {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// TestWarnings: thirty days, a week and a day before its end, a declaration is warned
// of once, whether or not the proxy is started anew.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dir := newWorld(), t.TempDir()
		end := time.Now().Add(40 * days)
		services := declare(auth.Terms{Ends: end})
		begins(t, w.hears(t, dir, services, 9*days))
		begins(t, w.hears(t, dir, services, 2*days), "service_expires: service svc ends in 30 days")
		begins(t, w.hears(t, dir, services, 20*days))
		begins(t, w.hears(t, dir, services, 4*days), "service_expires: service svc ends in 7 days")
		w.full = true
		begins(t, w.hears(t, dir, services, 4*days+12*time.Hour))
		w.full = false
		begins(t, w.hears(t, dir, services, time.Hour), "service_expires: service svc ends within a day")
		begins(t, w.hears(t, dir, services, 3*days))
		// It is declared for longer, and warned of anew.
		services = declare(auth.Terms{Ends: time.Now().Add(5 * days)})
		begins(t, w.hears(t, dir, services, days), "service_expires: service svc ends in 5 days")
	})
}

// TestOwnerGone: the grace begins when the owner is first found gone, and neither a
// restart nor a silent directory ends or prolongs it.
func TestOwnerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dir := newWorld(), t.TempDir()
		services := declare(auth.Terms{OwnerGone: auth.Terminate, OwnerGrace: 7 * days})
		begins(t, w.hears(t, dir, services, days))

		alice := w.accounts["alice"]
		renamed := alice
		renamed.Account = "alina"
		delete(w.accounts, "alice")
		w.accounts["alina"] = renamed
		begins(t, w.hears(t, dir, services, days)) // she is who she was

		renamed.State = auth.LockedOut
		w.accounts["alina"] = renamed
		begins(t, w.hears(t, dir, services, days)) // that passes

		renamed.State = auth.Disabled
		w.accounts["alina"] = renamed
		begins(t, w.hears(t, dir, services, 5*days), "owner_gone: the account of alice, who answers for it, is disabled, and the service is in quarantine from")
		w.down = true
		begins(t, w.hears(t, dir, services, 3*days))
		if len(w.quarantined) > 0 {
			t.Error("in quarantine on no word of the directory's")
		}
		w.down = false
		begins(t, w.hears(t, dir, services, time.Hour), "service_quarantined: the account of alice")
		if got := slices.Collect(maps.Keys(w.quarantined)); !slices.Equal(got, []string{"S-1-5-21-2"}) {
			t.Errorf("in quarantine: %v", got)
		}
		w.down, w.quarantined = true, nil
		begins(t, w.hears(t, dir, services, time.Hour))
		if len(w.quarantined) != 1 {
			t.Error("a restart released it")
		}
		w.down = false
		renamed.State = 0
		w.accounts["alina"] = renamed
		begins(t, w.hears(t, dir, services, time.Hour), "service_released")
		if len(w.quarantined) > 0 {
			t.Error("it is in quarantine still")
		}
	})
}

// TestOwnerIsNobody: another account of the owner's name, a service, or nothing at all
// answers for nothing; by rule that is warned of and no more.
func TestOwnerIsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(*world){
			"another of the name": func(w *world) {
				id := w.accounts["alice"]
				id.GUID, id.SID = "guid-9", "S-1-5-21-9"
				w.accounts["alice"] = id
			},
			"a service": func(w *world) {
				id := w.accounts["alice"]
				id.Kind = auth.Service
				w.accounts["alice"] = id
			},
			"nobody": func(w *world) { delete(w.accounts, "alice") },
		} {
			w, dir := newWorld(), t.TempDir()
			services := declare(auth.Terms{OwnerGone: auth.Keep})
			begins(t, w.hears(t, dir, services, time.Hour))
			change(w)
			begins(t, w.hears(t, dir, services, time.Hour), "owner_gone")
			if len(w.quarantined) > 0 {
				t.Errorf("%s: in quarantine against the rule", name)
			}
			begins(t, w.hears(t, dir, declare(auth.Terms{OwnerGone: auth.Terminate}), time.Hour), "service_quarantined")
		}
	})
}

// TestSilentDirectory: it is asked once in a round, however many services there are.
func TestSilentDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.down = true
		services := map[string]auth.Terms{}
		for i := range 50 {
			services[fmt.Sprintf("svc-%d", i)] = auth.Terms{Owner: "alice"}
		}
		w.hears(t, t.TempDir(), services, 10*time.Hour+time.Second)
		if w.asked != 11 {
			t.Errorf("asked %d times in 11 rounds", w.asked)
		}
	})
}

// TestDamagedMemory: where nobody knows what is in quarantine, nothing is served.
func TestDamagedMemory(t *testing.T) {
	for _, text := range []string{"", "{", "null", `{"svc": null}`, `[]`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, memoryName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		if _, err := Open(Options{Directory: dir, Target: w, Recorder: w, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dir := newWorld(), t.TempDir()
		w.hears(t, dir, declare(auth.Terms{}), time.Hour)
		w.used["S-1-5-21-2"] = time.Now()
		w.hears(t, dir, declare(auth.Terms{}), time.Hour)
		at := w.used["S-1-5-21-2"]
		clear(w.used)
		k, err := Open(Options{Directory: dir, Target: w, Recorder: w, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if m := k.memory["svc"]; m == nil || !m.LastUse.Equal(at) {
			t.Errorf("%+v, used at %s", m, at)
		}
	})
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, stateGood},
		{errDown, stateUnknown},
		{errors.New("nonsense"), stateUnknown},
		{&auth.Failure{Cause: auth.CauseDirectoryAnswer}, stateUnknown},
		{&auth.Failure{Cause: auth.CauseNoSuchAccount}, "no_such_account"},
	} {
		if got := stateOf(&auth.Identity{}, c.err); got != c.want {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}

// TestOneDomainIsAway: one domain that does not answer is asked once in a round, and
// the others all the same.
func TestOneDomainIsAway(t *testing.T) {
	w := newWorld()
	w.accounts[`OTHER\svc`] = auth.Identity{Account: "svc", SID: "S-1-5-21-9-1104"}
	away := &away{Resolver: w, domain: "other"}
	r := &oneChance{Resolver: away, down: map[string]error{}}
	for _, c := range []struct {
		name string
		want bool
	}{{"svc", true}, {`OTHER\svc`, false}, {`other\another`, false}, {"alice", true}} {
		if _, err := r.Lookup(t.Context(), c.name); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if away.asked != 1 {
		t.Errorf("it was asked %d times", away.asked)
	}
}

// away is a directory of which one domain does not answer.
type away struct {
	auth.Resolver
	domain string
	asked  int
}

func (a *away) Lookup(ctx context.Context, name string) (auth.Identity, error) {
	if domain, _, found := strings.Cut(name, `\`); found && strings.EqualFold(domain, a.domain) {
		a.asked++
		return auth.Identity{}, errDown
	}
	return a.Resolver.Lookup(ctx, name)
}
