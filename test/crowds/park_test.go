package crowds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/internal/testkit/syscalls"
)

// stall is something that a session waits for.
type stall struct {
	name string
	// begin has a session wait, and returns when it does. What it returns has to end by
	// itself once what it waits for is there.
	begin func(*testing.T, *testkit.Site, *syscalls.Supervisor) *pause
}

// pause is a session that waits.
type pause struct {
	over    chan error // tells how it went on
	release func()     // lets it go on
}

func newPause(release func(), do func() error) *pause {
	p := &pause{over: make(chan error, 1), release: release}
	go func() { p.over <- do() }()
	return p
}

// parked: whatever a session waits for, the others go on as before.
func parked(t *testing.T, s *testkit.Site, calls *syscalls.Supervisor, p *public) {
	t.Helper()
	for _, st := range []stall{
		{"a text that a stopped worker has", stoppedWorkers},
		{"a disk that takes its time", slowDisk},
		{"a cancel that the backend does not answer", silentBackend},
		{"a backend that reads nothing", deafBackend},
	} {
		t.Run(st.name, func(t *testing.T) {
			before := p.goOn(t)
			waiting := st.begin(t, s, calls)
			during := p.goOn(t)
			select {
			case err := <-waiting.over:
				t.Errorf("the session did not wait: %v", err)
				waiting.release()
			default:
				waiting.release()
				if err := <-waiting.over; err != nil {
					t.Errorf("the session that waited: %v", err)
				}
			}
			t.Logf("others, median / p99 in ms: before %v, meanwhile %v; %d statements", before, during, len(during))
		})
	}
	t.Run("a configuration of 10,000 rules", func(t *testing.T) { manyRules(t, s, p) })
}

// goOn has the sessions run so many statements each, and returns how long they took.
func (p *public) goOn(t *testing.T) times {
	t.Helper()
	n := sized(1000, 60)
	var mu sync.Mutex
	var took times
	var all sync.WaitGroup
	for _, w := range p.inside {
		all.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			w.took = nil
			for range n {
				<-tick.C
				began := time.Now()
				if err := w.step(t.Context()); err != nil {
					t.Error(err)
					return
				}
				w.took = append(w.took, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, w.took...)
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

// enter has a session of the service.
func enter(t *testing.T, s *testkit.Site, database string) *pgconn.PgConn {
	t.Helper()
	conn, err := connectFrom(t.Context(), s.DSN("svc-orders", testkit.OrdersPassword, database), insideFrom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

func run(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// stoppedWorkers: the parser workers are stopped, and a session's text is new.
func stoppedWorkers(t *testing.T, s *testkit.Site, _ *syscalls.Supervisor) *pause {
	t.Helper()
	workers, err := testkit.Children(s.ProxyPID())
	if err != nil || len(workers) == 0 {
		t.Fatalf("workers %v, %v", workers, err)
	}
	signal := func(sig syscall.Signal) {
		for _, pid := range workers {
			_ = syscall.Kill(pid, sig)
		}
	}
	conn := enter(t, s, testkit.LabDatabase)
	signal(syscall.SIGSTOP)
	t.Cleanup(func() { signal(syscall.SIGCONT) })
	return newPause(func() { signal(syscall.SIGCONT) }, func() error {
		return run(t.Context(), conn, "SELECT 1 AS nobody_has_read_this")
	})
}

// slowDisk: the journal's disk does not come back, and a session's statement waits for it.
func slowDisk(t *testing.T, s *testkit.Site, calls *syscalls.Supervisor) *pause {
	t.Helper()
	conn := enter(t, s, durableDatabase)
	held := calls.Hold(syscalls.Fault{Call: unix.SYS_FDATASYNC, On: s.Journal})
	t.Cleanup(held.Release)
	p := newPause(held.Release, func() error { return run(t.Context(), conn, "SELECT 1") })
	until(t, func() error {
		if held.Calls() == 0 {
			return errors.New("nobody waits for the disk")
		}
		return nil
	})
	return p
}

// silentBackend: a session asks for a cancel, and hears of it when the backend does.
func silentBackend(t *testing.T, s *testkit.Site, _ *syscalls.Supervisor) *pause {
	t.Helper()
	conn := enter(t, s, idleDatabase)
	ctx, release := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run(ctx, conn, "SELECT "+silentText)
	}()
	t.Cleanup(func() {
		release()
		<-ended
	})
	s.Await(t, "the statement", func(r *journal.Record) bool {
		return r.Type == audit.Statement && strings.Contains(r.Text, silentText)
	})
	return newPause(release, func() error {
		if err := conn.CancelRequest(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
}

// deafBackend: a session sends what its backend does not take.
func deafBackend(t *testing.T, s *testkit.Site, _ *syscalls.Supervisor) *pause {
	t.Helper()
	conn := enter(t, s, idleDatabase)
	raw, err := conn.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Conn.Write(frame('Q', "SELECT "+deafText+"\x00", 0)); err != nil {
		t.Fatal(err)
	}
	flood := bytes.Repeat(frame('Q', "SELECT 1 /* "+strings.Repeat("x", 1000)+" */\x00", 0), 16<<10)
	return newPause(func() { _ = raw.Conn.Close() }, func() error {
		if _, err := raw.Conn.Write(flood); err == nil {
			return errors.New("it was all taken")
		}
		return nil
	})
}

// manyRules: a configuration with 10,000 rules comes into force while sessions work.
func manyRules(t *testing.T, s *testkit.Site, p *public) {
	t.Helper()
	before := p.goOn(t)
	ctx, stop := context.WithCancel(t.Context())
	seasons := make(chan *season, 1)
	rules := ""
	err := s.WriteConfig(func(c *testkit.SiteConfig) {
		rules = c.ExtraRules
		var b strings.Builder
		for i := range sized(10_000, 2000) {
			fmt.Fprintf(&b, "  - {name: other-%d, groups: [APP-Orders-Readers], databases: [other_%[1]d], kinds: [person], sources: [127.0.0.0/8], justification: many, grant: {backend: orders, role: app_ro_orders, classes: [READ]}}\n", i)
		}
		c.ExtraRules += "\n" + b.String()
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { seasons <- p.live(ctx) }()
	began := time.Now()
	reload := s.Reload(t.Context())
	took := time.Since(began)
	stop()
	season := <-seasons
	if reload != nil || season.failed != nil {
		t.Error(reload, season.failed)
	}
	t.Logf("others, median / p99 in ms: before %v, while it came into force (%s) %v; %d statements, %d log-ins",
		before, took.Round(time.Millisecond), season.inside, len(season.inside), len(season.arrivals))
	if err := s.WriteConfig(func(c *testkit.SiteConfig) { c.ExtraRules = rules }); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := testkit.WaitFor(ctx, try); err != nil {
		t.Fatal(err)
	}
}
