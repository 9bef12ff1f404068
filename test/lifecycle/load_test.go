package lifecycle

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

var (
	manySessions   = flag.Int("sessions", 40, "live sessions of TestMany")
	manyPrincipals = flag.Int("principals", 20, "their principals, a quarter of which leave one by one, a quarter at once")
)

// TestMany measures the time from a change in the directory to the end of each
// session that rests on it, and what watching costs the controller. make lifecycle
// runs the long form.
func TestMany(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.Connections = *manySessions + 50
		c.PreAuth = "{timeout: 60s, connections: 1000, connections_per_source: 1000}"
	})
	must(t, s.Postgres.Exec(t.Context(), "postgres", fmt.Sprintf("ALTER SYSTEM SET max_connections = %d", *manySessions+100)))
	must(t, s.Postgres.Restart(t.Context()))
	m := &many{t: t, site: s, ended: make(map[string][]time.Time)}
	m.enter()
	t.Logf("%d sessions of %d principals", *manySessions, *manyPrincipals)
	m.idle()

	quarter := *manyPrincipals / 4
	var took []time.Duration
	for i := range quarter {
		began := time.Now()
		must(t, s.Controller.Disable(t.Context(), account(i)))
		took = append(took, m.wait(began, i)...)
	}
	report(t, "disabled one by one", took)
	var at []int
	for i := quarter; i < 2*quarter; i++ {
		at = append(at, i)
	}
	before := cpu(t, s)
	began := time.Now()
	must(t, s.Controller.RemoveFromGroup(t.Context(), "Team-Many", testkit.GroupReaders))
	report(t, fmt.Sprintf("a nested group taken out, %d principals at once", quarter), m.wait(began, at...))
	t.Logf("the controller used %s of processor time for that", cpu(t, s)-before)
	m.stay(2 * quarter)
}

type many struct {
	t    *testing.T
	site *testkit.Site
	work sync.WaitGroup

	mu    sync.Mutex
	ended map[string][]time.Time // guarded by mu, by account
}

func account(i int) string { return fmt.Sprintf("many-%d", i) }

// enter makes the accounts, of which the second quarter is in the group by way of
// another, and opens their sessions.
func (m *many) enter() {
	t, dc := m.t, m.site.Controller
	t.Helper()
	must(t, dc.CreateGroup(t.Context(), "Team-Many"))
	must(t, dc.AddToGroup(t.Context(), "Team-Many", testkit.GroupReaders))
	var names []string
	for i := range *manyPrincipals {
		names = append(names, account(i))
	}
	must(t, dc.CreateUsers(t.Context(), password, names))
	quarter := *manyPrincipals / 4
	must(t, dc.AddAllToGroup(t.Context(), append(slices.Clone(names[:quarter]), names[2*quarter:]...), testkit.GroupReaders))
	must(t, dc.AddAllToGroup(t.Context(), names[quarter:2*quarter], "Team-Many"))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); m.work.Wait() })
	places := make(chan struct{}, 16)
	var opening sync.WaitGroup
	for n := range *manySessions {
		opening.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			name := account(n % *manyPrincipals)
			conn, err := pgconn.Connect(ctx, m.site.DSN(name, password, testkit.OrdersDatabase))
			if err != nil {
				t.Error(err)
				return
			}
			m.work.Go(func() {
				_ = conn.WaitForNotification(ctx)
				at := time.Now()
				m.mu.Lock()
				m.ended[name] = append(m.ended[name], at)
				m.mu.Unlock()
			})
		})
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// wait waits until the sessions of these accounts have ended, and returns how long
// after began each did.
func (m *many) wait(began time.Time, accounts ...int) (took []time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	must(m.t, testkit.WaitFor(ctx, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		took = nil
		for _, i := range accounts {
			if left := *manySessions / *manyPrincipals - len(m.ended[account(i)]); left > 0 {
				return fmt.Errorf("%d sessions of %s are left", left, account(i))
			}
			for _, at := range m.ended[account(i)] {
				took = append(took, at.Sub(began))
			}
		}
		return nil
	}))
	return took
}

// stay checks that nobody else was ended.
func (m *many) stay(from int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := from; i < *manyPrincipals; i++ {
		if n := len(m.ended[account(i)]); n > 0 {
			m.t.Errorf("%d sessions of %s ended", n, account(i))
		}
	}
}

// idle measures what the watch costs the controller while nothing happens.
func (m *many) idle() {
	const looks = 5 * time.Second
	before := cpu(m.t, m.site)
	timer := time.NewTimer(looks)
	defer timer.Stop()
	<-timer.C
	m.t.Logf("the controller uses %.1f %% of a processor while nothing happens", 100*(cpu(m.t, m.site)-before).Seconds()/looks.Seconds())
}

func report(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%s: %d sessions ended after %s (median), %s (p99), %s (longest), counted from before the tool that made the change was started",
		what, len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}

// cpu is the processor time that the controller has used (proc(5): utime and
// stime, in hundredths of a second).
func cpu(t *testing.T, s *testkit.Site) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Controller.PID()))
	must(t, err)
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	must(t, err)
	system, err := strconv.Atoi(fields[12])
	must(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}
