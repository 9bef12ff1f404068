package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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

// workersOf finds the parser workers of a proxy.
func workersOf(t *testing.T, proxy int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// It may be gone by now.
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(proxy) && strings.Contains(string(line), "parser-worker") {
			found = append(found, pid)
		}
	}
	return found
}

// pulse runs statements in a session of its own until it is stopped, and keeps
// how long each took.
type pulse struct {
	conn   *pgconn.PgConn
	sql    func(i int) string
	stop   context.CancelFunc
	work   sync.WaitGroup
	took   []time.Duration
	failed error
}

func beat(t *testing.T, s *testkit.Site, sql func(i int) string) *pulse {
	t.Helper()
	p := &pulse{conn: connect(t, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase)), sql: sql}
	mustExec(t, p.conn, sql(0))
	ctx, stop := context.WithCancel(t.Context())
	p.stop = stop
	p.work.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond) // others have work to do, too
		defer tick.Stop()
		for i := 1; ctx.Err() == nil; i++ {
			<-tick.C
			began := time.Now()
			if _, err := p.conn.Exec(t.Context(), p.sql(i)).ReadAll(); err != nil {
				p.failed = err
				return
			}
			p.took = append(p.took, time.Since(began))
		}
	})
	return p
}

// unharmed stops the statements, and checks that all of them came through, and not
// late: of fifty one may be, for the machine has other work too.
func (p *pulse) unharmed(t *testing.T) {
	t.Helper()
	p.stop()
	p.work.Wait()
	if p.failed != nil {
		t.Errorf("another session's statement failed: %v", p.failed)
	}
	if len(p.took) == 0 {
		t.Error("another session ran nothing")
		return
	}
	slices.Sort(p.took)
	if late := p.took[(len(p.took)-1)*49/50]; late > slow {
		t.Errorf("another session waited for %s, and longer", late)
	}
	t.Logf("another session: %d statements, median %s, longest %s", len(p.took), p.took[len(p.took)/2], p.took[len(p.took)-1])
}

func known(int) string { return "SELECT count(*) FROM orders" }

func unheard(i int) string { return fmt.Sprintf("SELECT count(*) AS c%d FROM orders", i) }

// TestParser takes the parser workers away, by signals and by texts.
func TestParser(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) { c.Parser = "{workers: 2, timeout: 1s}" })
	bystand(t, s)
	t.Run("cancelled", func(t *testing.T) { parserCancelled(t, s) })
	t.Run("killed", func(t *testing.T) { parserKilled(t, s) })
	t.Run("poisoned", func(t *testing.T) { parserPoisoned(t, s) })
}

// metric returns the line of a metric that has no labels.
func metric(t *testing.T, s *testkit.Site, name string) string {
	t.Helper()
	var metrics strings.Builder
	if err := s.Get(t.Context(), "/metrics", &metrics); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(metrics.String()) {
		if strings.HasPrefix(line, name+" ") {
			return line
		}
	}
	t.Fatalf("there is no metric %s", name)
	return ""
}

// parserCancelled cancels statements that the parser has in hand, for its workers
// stand still: they never run, and what comes behind them does.
func parserCancelled(t *testing.T, s *testkit.Site) {
	t.Helper()
	for i, messages := range []func(sql string) []byte{
		query,
		func(sql string) []byte {
			return slices.Concat(message('P', "\x00"+sql+"\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"),
				message('E', "\x00\x00\x00\x00\x00"), message('S', ""))
		},
	} {
		c := lab(t, s)
		c.ask("CREATE TABLE IF NOT EXISTS cancelled (n int)")
		before := metric(t, s, "pgcustos_parser_cache_misses_total")
		stopped := workersOf(t, s.ProxyPID())
		for _, pid := range stopped {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		sql := fmt.Sprintf("INSERT INTO cancelled VALUES (%d) RETURNING n AS judged%[1]d", i)
		c.write(messages(sql)...)
		eventually(t, func() error {
			if metric(t, s, "pgcustos_parser_cache_misses_total") == before {
				return errors.New("the parser was not asked")
			}
			return nil
		})
		x := dial(t, s)
		x.write(cancelPacket(c.pid, c.secret...)...)
		x.ended()
		for _, pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been given up by now
		}
		e := c.complaint("ERROR", "57014", "canceling statement due to user request")
		if e.Detail != "" {
			t.Errorf("the detail is %q", e.Detail)
		}
		c.ready()
		if n := c.ask("SELECT count(*) FROM cancelled"); n != "0" {
			t.Errorf("%s of them ran", n)
		}
		r := await(t, s, "the statement", all(from(c.source), func(r *journal.Record) bool { return r.Cause == "cancelled" }))
		if r.Decision != audit.Unavailable || r.Text != sql && r.Form != "masked" {
			t.Errorf("recorded as %s: %s", r.Decision, r.Text)
		}
	}
}

// parserKilled kills the workers while statements run. A statement that a worker
// was reading may be denied as unknown; nothing else happens to anybody.
func parserKilled(t *testing.T, s *testkit.Site) {
	t.Helper()
	other := beat(t, s, known)
	conn := connect(t, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
	denied := 0
	for i := range 12 {
		for _, pid := range workersOf(t, s.ProxyPID()) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
		}
		sql := fmt.Sprintf("SELECT %d AS n%d FROM orders", i, i)
		if _, err := run(t, conn, sql); err != nil {
			e := refused(t, err, "42501", "")
			r := await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
			if r.Decision != audit.Denied || !slices.Contains(r.Class, "UNKNOWN") {
				t.Errorf("recorded as %s %s: %s", r.Decision, r.Class, e.Detail)
			}
			denied++
		}
	}
	other.unharmed(t)
	await(t, s, "a worker's death", ofType(audit.ParserDied))
	// The pool recovers, and nothing that was unknown then is so for good.
	for i := range 12 {
		sql := fmt.Sprintf("SELECT %d AS n%d FROM orders", i, i)
		eventually(t, func() error { _, err := run(t, conn, sql); return err })
	}
	eventually(t, func() error {
		if n := len(workersOf(t, s.ProxyPID())); n != 2 {
			return fmt.Errorf("there are %d workers", n)
		}
		return nil
	})
	t.Logf("%d of 12 statements were denied while the workers died", denied)
}

// parserPoisoned is texts that no parser survives, or not in time.
func parserPoisoned(t *testing.T, s *testkit.Site) {
	t.Helper()
	const mega = 1 << 20
	for name, sql := range map[string]string{
		"sum":         "SELECT 1" + strings.Repeat("+1", mega/2),
		"parentheses": "SELECT " + strings.Repeat("(", mega/2) + "1" + strings.Repeat(")", mega/2),
		"arrays":      "SELECT " + strings.Repeat("ARRAY[", 100_000) + "1" + strings.Repeat("]", 100_000),
		"not":         "SELECT " + strings.Repeat("NOT ", mega/4) + "true",
		"case":        strings.Repeat("SELECT CASE WHEN true THEN (", 20_000) + "1" + strings.Repeat(") END", 20_000),
		"union":       "SELECT 1" + strings.Repeat(" UNION SELECT 1", mega/15),
	} {
		t.Run(name, func(t *testing.T) {
			cached, fresh := beat(t, s, known), beat(t, s, func(i int) string { return unheard(i) + " -- " + name })
			conn := connect(t, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
			for range 2 {
				_, err := run(t, conn, sql)
				e := refused(t, err, "42501", "")
				r := await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
				if r.Decision != audit.Denied || !slices.Contains(r.Class, "UNKNOWN") || textLength(&r) < len(sql)/4 {
					t.Errorf("recorded as %s %s with %d bytes of text", r.Decision, r.Class, textLength(&r))
				}
				mustExec(t, conn, known(0))
				mustExec(t, conn, "SELECT 'next' AS \""+name+"\"")
			}
			cached.unharmed(t)
			fresh.unharmed(t)
		})
	}
	// Where UNKNOWN is allowed it goes on to the server, recorded as what it is.
	conn := connect(t, s.LabProxied())
	_, err := run(t, conn, "SELECT 1"+strings.Repeat("+1", mega/2))
	refused(t, err, "54001", "stack depth limit exceeded")
	await(t, s, "it", func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Database == testkit.LabDatabase && r.Decision == audit.Allowed &&
			slices.Contains(r.Class, "UNKNOWN") && textLength(r) > mega/2
	})
}

// textLength is the length of the recorded text, wherever it is kept.
func textLength(r *journal.Record) int {
	if r.TextBlob != nil {
		return int(r.TextBlob.Length)
	}
	return len(r.Text)
}

// TestWorkerHoldsNothing looks at what a worker has: no secret in its
// environment, no descriptor but its pipes.
func TestWorkerHoldsNothing(t *testing.T) {
	t.Parallel()
	s := site(t)
	workers := workersOf(t, s.ProxyPID())
	if len(workers) == 0 {
		t.Fatal("there are no workers")
	}
	for _, pid := range workers {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		for variable := range strings.SplitSeq(strings.TrimSuffix(string(environment), "\x00"), "\x00") {
			name, _, _ := strings.Cut(variable, "=")
			if !strings.HasPrefix(name, "PGCUSTOS_PARSER_") && name != "GOTRACEBACK" && name != "GOMAXPROCS" && name != "GODEBUG" {
				t.Errorf("its environment has %q", variable)
			}
		}
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
			if err != nil || strings.HasPrefix(to, "pipe:") || to == "/dev/null" || strings.HasPrefix(to, "anon_inode:") {
				continue
			}
			t.Errorf("it holds %s: %s", fd.Name(), to)
		}
	}
}
