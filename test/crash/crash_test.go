// Package crash kills the proxy at random moments under load, and takes away for a
// while what it stands on, and compares what reached the tables with what is on
// record.
package crash

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var kills = flag.Int("kills", 12, "how often the proxy is killed")

const clients = 8

// load is clients that insert numbers, each number once.
type load struct {
	dsn    string
	number atomic.Int64

	mu    sync.Mutex
	acked []int64 // numbers whose INSERT the client was told of
	grown chan struct{}
}

// TestInvariant5RecordBeforeForward holds that no statement reaches the backend
// before it is on record, and that no client is told of one whose outcome is not,
// however the proxy ends.
func TestInvariant5RecordBeforeForward(t *testing.T) {
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) { c.SegmentSize = "4MiB" })
	if err := s.Postgres.Exec(t.Context(), testkit.LabDatabase,
		"CREATE TABLE hits (n bigint); ALTER TABLE hits OWNER TO "+testkit.LabRole); err != nil {
		t.Fatal(err)
	}
	l := &load{dsn: s.LabProxied(), grown: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for i := range clients {
		work.Go(func() { l.run(ctx, ways[i%len(ways)]) })
	}
	for range *kills {
		l.await(t, 1+rand.IntN(150))
		if err := s.KillProxy(); err != nil {
			t.Fatal(err)
		}
		if err := s.StartProxy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.await(t, 50)
	stop()
	work.Wait()
	quiet(t, s)
	compare(t, s, l)
	verify(t, s, *kills+1)
}

// await waits until clients were told of so many more INSERTs.
func (l *load) await(t *testing.T, more int) {
	t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	target := l.count() + more
	for l.count() < target {
		select {
		case <-l.grown:
		case <-late.C:
			t.Fatalf("%d of %d statements after 30 seconds", l.count(), target)
		}
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *load) ack(numbers ...int64) {
	l.mu.Lock()
	l.acked = append(l.acked, numbers...)
	l.mu.Unlock()
	select {
	case l.grown <- struct{}{}:
	default:
	}
}

// way sends one or more INSERTs.
type way func(ctx context.Context, conn *pgconn.PgConn, l *load) error

var ways = []way{simple, extended, pipelined, several}

func (l *load) insert() (sql string, n int64) {
	n = l.number.Add(1)
	return fmt.Sprintf("INSERT INTO hits VALUES (%d)", n), n
}

func simple(ctx context.Context, conn *pgconn.PgConn, l *load) error {
	sql, n := l.insert()
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return err
	}
	l.ack(n)
	return nil
}

func extended(ctx context.Context, conn *pgconn.PgConn, l *load) error {
	sql, n := l.insert()
	if result := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read(); result.Err != nil {
		return result.Err
	}
	l.ack(n)
	return nil
}

// pipelined sends several with one Sync: all of them are one transaction.
func pipelined(ctx context.Context, conn *pgconn.PgConn, l *load) error {
	const length = 8
	var batch pgconn.Batch
	var numbers []int64
	for range length {
		sql, n := l.insert()
		batch.ExecParams(sql, nil, nil, nil, nil)
		numbers = append(numbers, n)
	}
	if _, err := conn.ExecBatch(ctx, &batch).ReadAll(); err != nil {
		return err
	}
	l.ack(numbers...)
	return nil
}

// several are one Query.
func several(ctx context.Context, conn *pgconn.PgConn, l *load) error {
	first, a := l.insert()
	second, b := l.insert()
	if _, err := conn.Exec(ctx, first+"; "+second).ReadAll(); err != nil {
		return err
	}
	l.ack(a, b)
	return nil
}

// run inserts until ctx ends, and comes again whenever the proxy is gone.
func (l *load) run(ctx context.Context, do way) {
	for ctx.Err() == nil {
		_ = testkit.WaitFor(ctx, func() error {
			conn, err := pgconn.Connect(ctx, l.dsn)
			if err != nil {
				return err
			}
			for err == nil && ctx.Err() == nil {
				// A statement that has begun is seen through.
				err = do(context.WithoutCancel(ctx), conn, l)
			}
			return conn.Close(context.WithoutCancel(ctx))
		})
	}
}

// quiet waits until no session of the clients is left at the backend.
func quiet(t *testing.T, s *testkit.Site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		n, err := s.Postgres.Value(ctx, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = '"+testkit.LabRole+"'")
		if err == nil && n != "0" {
			err = errors.New(n + " sessions are left")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var inserted = regexp.MustCompile(`INSERT INTO hits VALUES \(([0-9]+)\)`)

// compare holds the rows, and what clients were told, against the journal.
func compare(t *testing.T, s *testkit.Site, l *load) {
	t.Helper()
	type key struct {
		stream   string
		sequence uint64
	}
	recorded, completed := map[int64]int{}, map[int64]bool{}
	numbers := map[key]int64{}
	next := map[string]uint64{}
	_, err := s.Records(func(r *journal.Record) bool {
		if next[r.Stream]++; r.Sequence != next[r.Stream] {
			t.Fatalf("record %d of stream %s where %d must be", r.Sequence, r.Stream, next[r.Stream])
		}
		switch {
		case r.Type == audit.Statement && r.Decision == audit.Allowed:
			for _, m := range inserted.FindAllStringSubmatch(r.Text, -1) {
				n, _ := strconv.ParseInt(m[1], 10, 64)
				recorded[n]++
				numbers[key{r.Stream, r.Sequence}] = n
			}
		case r.Type == audit.Outcome && r.Result == audit.Completed:
			completed[numbers[key{r.Stream, r.Statement}]] = true
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Postgres.Value(t.Context(), testkit.LabDatabase, "SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') FROM hits")
	if err != nil {
		t.Fatal(err)
	}
	reached := map[int64]int{}
	for field := range strings.FieldsSeq(rows) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		reached[n]++
	}
	for n, times := range reached {
		if recorded[n] != 1 || times != 1 {
			t.Errorf("number %d reached the table %d times, and is on record %d times", n, times, recorded[n])
		}
	}
	for _, n := range l.acked {
		if reached[n] == 0 || !completed[n] {
			t.Errorf("a client was told of number %d: in the table %v, its completion on record %v", n, reached[n] > 0, completed[n])
		}
	}
	t.Logf("%d numbers sent, %d on record, %d in the table, %d told to clients, %d completions on record",
		l.number.Load(), len(recorded), len(reached), len(l.acked), len(completed))
	if len(l.acked) < *kills {
		t.Errorf("only %d statements ran", len(l.acked))
	}
}

// verify proves each stream's sums and chain, and that it goes on from the one
// before.
func verify(t *testing.T, s *testkit.Site, processes int) {
	t.Helper()
	v, err := journal.Verify(t.Context(), journal.VerifyOptions{Path: s.Journal})
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.Findings {
		t.Error(v.Findings[i].String())
	}
	if len(v.Streams) != processes {
		t.Errorf("%d streams of %d processes", len(v.Streams), processes)
	}
}
