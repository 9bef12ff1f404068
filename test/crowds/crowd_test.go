package crowds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/internal/testkit/syscalls"
)

// limitMiB is the proxy's memory.limit.
const limitMiB = 512

// displaced is the cause on record of those that made room for others.
const displaced = "displaced"

// assault is a crowd that means harm.
type assault struct {
	name         string
	kind         string
	whole, short int // how many at once
	sources      int
	rate         int
	causes       []string // that are on record of it
	inside       bool     // they have logged in
}

var assaults = []assault{
	{"half-open TLS handshakes", "half-open", 5000, 300, 1000, 2000, []string{"limit", displaced}, false},
	{"half-open, of one address", "half-open", 5000, 100, 1, 2000, []string{"limit_per_source"}, false},
	{"slow in each phase", "slow", 3000, 200, 1000, 1000, []string{"limit", displaced}, false},
	{"connections, silent", "connections", 10_000, 700, 2500, 5000, []string{"limit", displaced}, false},
	{"wrong names and passwords", "guesses", 64, 8, 1000, 2000, []string{"no_such_account"}, false},
	{"cancels with guessed keys", "cancels", 64, 8, 40, 5000, []string{"cancel_key_unknown", "cancel_throttled"}, false},
	{"garbage in and below TLS", "garbage", 64, 8, 1000, 2000, []string{"no_startup"}, false},
	{"the same after a log-in", "garbage in", 16, 4, 200, 500, nil, true},
	{"100,000 statements at once", "pipelines", 8, 2, 8, 1000, nil, true},
	{"300 MB that nobody reads", "unread", 40, 4, 8, 1000, nil, true},
	{"messages of 1 GB", "claims", 16, 4, 8, 100, nil, true},
	{"texts that are long to read", "bombs", 8, 2, 8, 100, nil, true},
}

// newSite is a site whose proxy makes its calls to the disk under a supervisor's eyes.
func newSite(t *testing.T) (*testkit.Site, *syscalls.Supervisor) {
	t.Helper()
	calls, err := syscalls.New(unix.SYS_FSYNC, unix.SYS_FDATASYNC)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	s, err := testkit.StartSite(ctx, "", testkit.SiteOptions{Launch: calls.Start, Fill: func(c *testkit.SiteConfig) {
		testkit.WithLab(c)
		withBackend(c)
		c.PreAuth = fmt.Sprintf("{timeout: %ds, connections: 500, connections_per_source: 50}", sized(10, 30))
		c.Memory = fmt.Sprintf("memory: {limit: %dMiB}", limitMiB)
		c.LogLevel, c.SegmentSize = "info", "64MiB" // as they are by default
		c.Parser = "{workers: 2, timeout: 30s}"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail())
		}
		if err := errors.Join(s.Stop(), calls.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := s.SetupLab(ctx); err != nil {
		t.Fatal(err)
	}
	return s, calls
}

// TestCrowds: whoever works while a crowd that means harm is there is answered as
// before, what it costs is bounded, and all of it is given back. Sessions that do nothing
// cost next to nothing, and those that wait hold up nobody.
func TestCrowds(t *testing.T) {
	raise(t)
	s, calls := newSite(t)
	startBackend(t, s)
	p := newPublic(t, s)
	t.Run("idle", func(t *testing.T) { idle(t, s) })
	t.Run("parked", func(t *testing.T) { parked(t, s, calls, p) })
	p.during(t, seasonLength()) // whoever logs in is known from then on
	if *large {
		for _, a := range assaults {
			t.Run(a.name, func(t *testing.T) { storm{a}.rage(t, s, p) })
		}
		return
	}
	inside := slices.IndexFunc(assaults, func(a assault) bool { return a.inside })
	t.Run("strangers", func(t *testing.T) { storm(assaults[:inside]).rage(t, s, p) })
	t.Run("insiders", func(t *testing.T) { storm(assaults[inside:]).rage(t, s, p) })
}

// storm is assaults at the same time: of strangers, or of those who have logged in.
type storm []assault

// seasonLength is for how long the public is watched before, and during each assault.
func seasonLength() time.Duration { return time.Duration(sized(10_000, 250)) * time.Millisecond }

func (st storm) rage(t *testing.T, s *testkit.Site, p *public) {
	t.Helper()
	before, lines := held(t, s), said(t, s)
	quiet := p.during(t, seasonLength())
	began := time.Now()
	stop := peak(s.ProxyPID())
	var crowds []*crowd
	for _, a := range st {
		crowds = append(crowds, call(t, order{
			Kind: a.kind, Address: fmt.Sprintf("%s:%d", s.Host, s.Port), Count: sized(a.whole, a.short), Sources: a.sources, Rate: a.rate,
			Network: networkOf(a.inside), User: "svc-orders", Word: testkit.OrdersPassword,
		}))
	}
	for _, c := range crowds {
		c.awaited(t)
	}
	loud := p.during(t, seasonLength())
	for i, c := range crowds {
		told := c.disperse(t)
		t.Logf("%s: opened %d, told %v", st[i].name, told.Opened, told.Told)
	}
	most := stop()
	after := returned(t, s, before)
	lines = said(t, s) - lines
	t.Logf("MiB, descriptors, goroutines before %v, at most %v, after %v; lines in the log %d", before, most, after, lines)
	t.Logf("            before           during   (median / p99, ms)")
	t.Logf("inside      %v  %v", quiet.inside, loud.inside)
	t.Logf("novel       %v  %v", quiet.novel, loud.novel)
	t.Logf("past        %v  %v", quiet.past, loud.past)
	t.Logf("arrivals    %v  %v, %d, refused %v", quiet.arrivals, loud.arrivals, len(loud.arrivals), loud.refused)
	st.check(t, s, loud, most, lines, began)
	if limit := bound(quiet, loud); *large && loud.inside.at(0.99) > limit {
		t.Errorf("the p99 of those inside is more than %s", limit)
	}
}

// networkOf is where a crowd comes from. Nobody has logged in from where strangers do.
func networkOf(inside bool) byte {
	if inside {
		return 120
	}
	return 130
}

// bound is how long one statement in a hundred may take while a crowd is there: twice what
// it took before, and twice what the machine adds to sessions that go past the proxy. The
// crowd's clients, PostgreSQL and the proxy share two processors, of which a moment more is
// anybody's.
func bound(quiet, loud *season) time.Duration {
	const moment = 20 * time.Millisecond
	machine := max(0, loud.past.at(0.99)-quiet.past.at(0.99))
	return 2*quiet.inside.at(0.99) + 2*machine + moment
}

// check holds what came of a storm against what is promised.
func (st storm) check(t *testing.T, s *testkit.Site, loud *season, most holdings, lines int, began time.Time) {
	t.Helper()
	if len(loud.inside) == 0 || len(loud.novel) == 0 || len(loud.arrivals) == 0 {
		t.Errorf("there were %d statements, %d of new texts, %d log-ins", len(loud.inside), len(loud.novel), len(loud.arrivals))
	}
	// Whoever is turned away for want of memory is told so before TLS.
	if !st[0].inside && len(loud.refused) > 0 || len(loud.refused) > 1 || len(loud.refused) == 1 && loud.refused[beforeTLS] == 0 {
		t.Errorf("log-ins were refused: %v", loud.refused)
	}
	const beside = 64 // MiB, of what the system counts and the proxy does not
	if most.memory > limitMiB+beside {
		t.Errorf("the proxy had %.0f MiB, with a limit of %d", most.memory, limitMiB)
	}
	if mayHave := st.descriptors(); int(most.descriptors) > mayHave {
		t.Errorf("the proxy had %.0f descriptors", most.descriptors)
	}
	const mayBeSaid = 1000
	if lines > mayBeSaid {
		t.Errorf("the log has %d lines more", lines)
	}
	st.recorded(t, s, began)
}

// descriptors is how many the proxy may need.
func (st storm) descriptors() int {
	const places, beside = 500, 500 // those that made room need a moment to go
	n := places + beside
	for _, a := range st {
		if a.inside {
			n += 2 * sized(a.whole, a.short)
		}
	}
	return n
}

// recorded: each way of refusing is on record, and all that are strangers' take bounded
// room.
func (st storm) recorded(t *testing.T, s *testkit.Site, began time.Time) {
	t.Helper()
	if st[0].inside {
		return // nobody is a stranger
	}
	for _, a := range st {
		for _, cause := range a.causes {
			if !*large {
				continue // all come at once: which bound turns somebody away is chance
			}
			s.Await(t, cause, func(r *journal.Record) bool { return r.Cause == cause && !r.Time.Before(began) })
		}
	}
	found, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Connection && !r.Time.Before(began) })
	if err != nil {
		t.Fatal(err)
	}
	counted := uint64(0)
	for i := range found {
		counted += max(1, found[i].Count)
	}
	t.Logf("%d records of %d strangers", len(found), counted)
	// Of each period 1,024 that come from one address for one cause, and then one for each
	// cause, each when it is first seen and at the period's end.
	if most := (2 + int(time.Since(began)/(10*time.Second))) * 2 * (1024 + 10); len(found) > most {
		t.Errorf("%d records of strangers", len(found))
	}
}

func (p *public) during(t *testing.T, while time.Duration) *season {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), while)
	defer cancel()
	s := p.live(ctx)
	if s.failed != nil {
		t.Error(s.failed)
	}
	return s
}

// returned waits until what was held before is all that is held, but for memory, which
// a collection may not have looked at yet.
func returned(t *testing.T, s *testkit.Site, before holdings) (now holdings) {
	t.Helper()
	const spare, running = 40, 100 // connections to controllers are kept for a while, with two goroutines each
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		now = held(t, s)
		if now.descriptors > before.descriptors+spare || now.goroutines > before.goroutines+running {
			return fmt.Errorf("held before %v, now %v", before, now)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return now
}
