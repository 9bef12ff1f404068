package crash

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

var endurance = flag.Duration("endurance", 30*time.Second, "how long sessions come and go while what the proxy stands on does, too")

// TestEndurance lets sessions come and go while the configuration is read again,
// sessions are ended, and the controller and the backend, which is the audit
// database too, are started anew. The proxy holds no more at the end than when all
// of that had happened once, and what the backend executed is on record and
// delivered, once.
func TestEndurance(t *testing.T) {
	s := enduringSite(t)
	l := &load{dsn: s.LabProxied(), grown: make(chan struct{}, 1)}
	e := &strain{site: s, load: l}
	e.begin(t)
	e.round(t)
	e.rest(t)
	before := held(t, s)
	rounds := 0
	for began := time.Now(); time.Since(began) < *endurance; rounds++ {
		e.begin(t)
		e.round(t)
		e.rest(t)
	}
	after := held(t, s)
	t.Logf("%d rounds; held before %v, after %v", rounds, before, after)
	before.grew(t, after)
	compare(t, s, l)
	verify(t, s, 1)
	delivered(t, s)
}

func enduringSite(t *testing.T) *testkit.Site {
	t.Helper()
	s, err := testkit.StartSite(t.Context(), "", testkit.SiteOptions{Audit: true, Fill: func(c *testkit.SiteConfig) {
		testkit.WithLab(c)
		c.SegmentSize = "4MiB"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.SetupLab(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Postgres.Exec(t.Context(), testkit.LabDatabase,
		"CREATE TABLE hits (n bigint); ALTER TABLE hits OWNER TO "+testkit.LabRole); err != nil {
		t.Fatal(err)
	}
	return s
}

// strain is what sessions go through.
type strain struct {
	site *testkit.Site
	load *load
	stop context.CancelFunc
	work sync.WaitGroup
}

// begin lets clients come and go.
func (e *strain) begin(t *testing.T) {
	t.Helper()
	var ctx context.Context
	ctx, e.stop = context.WithCancel(t.Context())
	for i := range clients {
		e.work.Go(func() { e.load.visit(ctx, ways[i%len(ways)]) })
	}
}

// rest waits until the clients are gone, and their sessions.
func (e *strain) rest(t *testing.T) {
	t.Helper()
	e.stop()
	e.work.Wait()
	quiet(t, e.site)
	if err := e.site.AwaitDelivery(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// visit logs in again and again, and runs a few statements each time.
func (l *load) visit(ctx context.Context, do way) {
	const statements = 25
	for ctx.Err() == nil {
		_ = testkit.WaitFor(ctx, func() error {
			conn, err := pgconn.Connect(ctx, l.dsn)
			for n := 0; err == nil && n < statements && ctx.Err() == nil; n++ {
				err = do(context.WithoutCancel(ctx), conn, l)
			}
			if conn != nil {
				_ = conn.Close(context.WithoutCancel(ctx))
			}
			return err
		})
	}
}

// round is everything once, with work in between.
func (e *strain) round(t *testing.T) {
	t.Helper()
	s, ctx := e.site, t.Context()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"work", func() error { return nil }},
		{"reload", func() error { return s.Signal(syscall.SIGHUP) }},
		{"backends are terminated", func() error {
			return s.Postgres.Exec(ctx, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+testkit.LabRole+"'")
		}},
		{"sessions are ended", func() error {
			out, err := exec.CommandContext(ctx, s.Binary, "kill", "--config", s.ConfigFile, "--database", testkit.LabDatabase, "--reason", "endurance").CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		}},
		{"the controller ends", s.Controller.Shutdown},
		{"the controller begins", func() error { return s.Controller.Start(ctx) }},
		{"the backend begins anew", func() error { return s.Postgres.Restart(ctx) }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.name != "the controller ends" { // while it is away, nobody logs in
			e.load.await(t, 400)
		}
	}
}

// holdings are what a proxy may hold too much of: memory of its own in MiB,
// descriptors and goroutines.
type holdings struct{ memory, descriptors, goroutines float64 }

func held(t *testing.T, s *testkit.Site) holdings {
	t.Helper()
	var metrics strings.Builder
	if err := s.Get(t.Context(), "/metrics", &metrics); err != nil {
		t.Fatal(err)
	}
	value := func(name string) float64 {
		_, rest, _ := strings.Cut(metrics.String(), "\n"+name+" ")
		line, _, _ := strings.Cut(rest, "\n")
		v, err := strconv.ParseFloat(line, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return v
	}
	memory := anonymous(t, s)
	if testkit.RaceDetector() {
		// It keeps a shadow of all memory that was ever used, several times as large.
		memory = value("go_memstats_heap_inuse_bytes") + value("go_memstats_stack_inuse_bytes")
	}
	return holdings{memory / (1 << 20), value("process_open_fds"), value("go_goroutines")}
}

// anonymous is the memory of the process that no file stands behind, in bytes.
func anonymous(t *testing.T, s *testkit.Site) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.ProxyPID()))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "RssAnon:")
	line, _, _ = strings.Cut(line, "kB")
	kilobytes, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes * 1024
}

// grew holds what is held now against what was. A collection may be due, and a
// connection that is kept may have come.
func (before holdings) grew(t *testing.T, now holdings) {
	t.Helper()
	const memory, others = 64, 12
	if now.memory > before.memory+memory || now.descriptors > before.descriptors+others || now.goroutines > before.goroutines+others {
		t.Errorf("held before %v, now %v", before, now)
	}
}

// delivered holds what the audit database has against the journal.
func delivered(t *testing.T, s *testkit.Site) {
	t.Helper()
	if err := s.AwaitDelivery(t.Context()); err != nil {
		t.Fatal(err)
	}
	statements := 0
	if _, err := s.Records(func(r *journal.Record) bool {
		if r.Type == audit.Statement && inserted.MatchString(r.Text) {
			statements++
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"SELECT count(*) FROM pgcustos.statements WHERE text LIKE '%INSERT INTO hits%'":        strconv.Itoa(statements),
		"SELECT count(*) - count(DISTINCT (node, stream, sequence)) FROM pgcustos.events":      "0",
		"SELECT count(*) FROM pgcustos.sessions WHERE ended IS NULL AND database = 'lab'":      "0",
		"SELECT count(*) FROM pgcustos.statements WHERE text LIKE '%hits%' AND result IS NULL": "0",
	} {
		if got, err := s.Postgres.Value(t.Context(), testkit.AuditDatabase, sql); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", sql, got, want, err)
		}
	}
}
