package crowds

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// backendPort names the scripted backend's socket, as PostgreSQL names its own.
const backendPort = 5999

// withBackend adds the scripted backend to a configuration.
func withBackend(c *testkit.SiteConfig) {
	c.ExtraBackends += fmt.Sprintf(`
  - name: scripted
    hosts: ["%s:%d"]
    tier: 2
    connections: 20000
    credentials: {%s: {password_file: %[3]s.password}}
`, c.Dir, backendPort, testkit.LabRole)
	for database, durability := range map[string]string{idleDatabase: "process", durableDatabase: "disk"} {
		c.ExtraRules += fmt.Sprintf(`
  - name: %s
    groups: [%s]
    databases: [%[1]s]
    sources: [127.0.0.0/8]
    kinds: [service]
    justification: everybody on this machine
    grant: {backend: scripted, role: %[3]s, classes: [%[4]s], durability: %[5]s}
`, database, testkit.GroupServices, testkit.LabRole, strings.Join(statement.ClassNames(), ", "), durability)
	}
}

// startBackend starts the scripted backend.
func startBackend(t *testing.T, s *testkit.Site) {
	t.Helper()
	word, err := os.ReadFile(filepath.Join(s.Dir, testkit.LabRole+".password"))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(s.Dir, fmt.Sprintf(".s.PGSQL.%d", backendPort))
	b := gather(t, order{Kind: scripted, Address: socket, Word: strings.TrimSpace(string(word))})
	t.Cleanup(func() { b.disperse(t) })
}

// processorTime is what a process has used, all its threads together
// (clock_getcpuclockid(3)).
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	const cpuClockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// used is what the proxy uses in a while in which nothing happens.
func used(t *testing.T, s *testkit.Site) time.Duration {
	t.Helper()
	before := processorTime(t, s.ProxyPID())
	<-time.After(quietFor())
	return processorTime(t, s.ProxyPID()) - before
}

func quietFor() time.Duration { return time.Duration(sized(10_000, 300)) * time.Millisecond }

// idle: sessions that do nothing cost memory that is bounded, and next to no processor
// time.
func idle(t *testing.T, s *testkit.Site) {
	t.Helper()
	many := order{
		Kind: "idle", Address: net.JoinHostPort(s.Host, fmt.Sprint(s.Port)), Count: sized(200, 10), Sources: 1000, Network: networkOf(true), Rate: 150,
		User: "svc-orders", Word: testkit.OrdersPassword, Insist: true,
	}
	gather(t, many).disperse(t) // so that what is there once is there
	returned(t, s, held(t, s))
	before := settled(t, s)
	alone := used(t, s)

	many.Count = mayHold(t)
	began := time.Now()
	crowd := gather(t, many)
	came := time.Since(began)
	after := settled(t, s)
	collections := metric(t, s, "go_gc_duration_seconds_count")
	together := used(t, s)
	if n := sessions(t, s); n != many.Count {
		t.Errorf("there are %d sessions of %d", n, many.Count)
	}
	each := (after.memory - before.memory) * 1024 / float64(many.Count)
	t.Logf("%d sessions, which came within %s; MiB, descriptors, goroutines before %v, with them %v: %.1f KiB each", many.Count, came.Round(time.Second), before, after, each)
	t.Logf("processor time in %s without sessions %s, with them %s; %.0f collections", quietFor(), alone, together, metric(t, s, "go_gc_duration_seconds_count")-collections)
	t.Logf("of Go's runtime, MiB: in use %.0f, heap in use %.0f, stacks %.0f, idle and not given back %.0f", metric(t, s, "go_memstats_alloc_bytes")/(1<<20),
		metric(t, s, "go_memstats_heap_inuse_bytes")/(1<<20), metric(t, s, "go_memstats_stack_inuse_bytes")/(1<<20),
		(metric(t, s, "go_memstats_heap_idle_bytes")-metric(t, s, "go_memstats_heap_released_bytes"))/(1<<20))
	if told := crowd.disperse(t); told.Told["there to the end"] != many.Count {
		t.Errorf("of %d sessions it was told %v", many.Count, told.Told)
	}
	t.Logf("and when they are gone: %v", returned(t, s, before))
	const kibibytes, share = 20, 0.005
	if *large && each > kibibytes {
		t.Errorf("a session takes %.1f KiB", each)
	}
	if more := (together - alone).Seconds() / quietFor().Seconds(); *large && more > share {
		t.Errorf("idle sessions take %.1f %% of a processor", 100*more)
	}
}

// descriptorsBeside is what a process has open beside those of its sessions, two each.
const descriptorsBeside = 200

// raise has the proxy start with as many descriptors as all sessions need, where it may:
// root does.
func raise(t *testing.T) {
	t.Helper()
	need := uint64(2*sized(*idleWhole, 30) + descriptorsBeside)
	if limit := openFiles(t); limit.Max < need {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: need, Max: need})
	}
}

func openFiles(t *testing.T) (limit unix.Rlimit) {
	t.Helper()
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return limit
}

// mayHold is how many sessions this machine's limits let a proxy have.
func mayHold(t *testing.T) int {
	t.Helper()
	return min(sized(*idleWhole, 30), (int(min(openFiles(t).Max, math.MaxInt32))-descriptorsBeside)/2)
}

// sessions is how many of the scripted backend's are live.
func sessions(t *testing.T, s *testkit.Site) int {
	t.Helper()
	return int(metric(t, s, fmt.Sprintf(`pgcustos_sessions{backend="scripted",role="%s"}`, testkit.LabRole)))
}

// settled waits until the proxy gives nothing back any more. To look at its metrics would
// have it allocate.
func settled(t *testing.T, s *testkit.Site) holdings {
	t.Helper()
	const looks, little = 5, 1 << 20
	last, same := int64(0), 0
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		if !*large {
			return nil
		}
		<-time.After(time.Second)
		now, err := anonymous(s.ProxyPID())
		if err != nil {
			return err
		}
		if same++; max(now-last, last-now) > little {
			same = 0
		}
		last = now
		if same < looks {
			return errors.New("its memory changes")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return held(t, s)
}
