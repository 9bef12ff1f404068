package crowds

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// The addresses that those who mean no harm come from: sessions that are there, and
// new ones.
var (
	insideFrom  = net.IPv4(127, 0, 0, 2)
	arrivalFrom = net.IPv4(127, 0, 0, 3)
)

// times are how long something took, each time.
type times []time.Duration

// at is how long it took at most for such a share of the times.
func (ts times) at(share float64) time.Duration {
	if len(ts) == 0 {
		return 0
	}
	return ts[int(float64(len(ts)-1)*share)]
}

func (ts times) String() string {
	return fmt.Sprintf("%6.2f / %6.2f", milliseconds(ts.at(0.5)), milliseconds(ts.at(0.99)))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// worker is a session that runs a statement at each tick.
type worker struct {
	conn *pgconn.PgConn
	sql  func(i int) string
	n    int
	took times
}

func newWorker(t *testing.T, dsn string, from net.IP, sql func(int) string) *worker {
	t.Helper()
	conn, err := connectFrom(t.Context(), dsn, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	w := &worker{conn: conn, sql: sql}
	for range 20 { // what is known from then on
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func connectFrom(ctx context.Context, dsn string, from net.IP) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	config.DialFunc = dialer.DialContext
	return pgconn.ConnectConfig(ctx, config)
}

func (w *worker) step(ctx context.Context) error {
	w.n++
	results, err := w.conn.Exec(ctx, w.sql(w.n)).ReadAll()
	if err != nil {
		return err
	}
	if got, want := string(results[0].Rows[0][0]), fmt.Sprint(w.n); got != want {
		return fmt.Errorf("statement %s is answered with %s", want, got)
	}
	return nil
}

// interval is the time between two statements of a worker.
const interval = 5 * time.Millisecond

// run runs statements until ctx is done.
func (w *worker) run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		began := time.Now()
		if err := w.step(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		w.took = append(w.took, time.Since(began))
	}
}

// public is everybody who means no harm.
type public struct {
	site   *testkit.Site
	inside []*worker // sessions, with a statement that is known
	novel  *worker   // one whose statements have to be parsed
	past   *worker   // one past the proxy
}

func newPublic(t *testing.T, s *testkit.Site) *public {
	t.Helper()
	known := func(i int) string { return fmt.Sprintf("SELECT %d FROM orders LIMIT 1", i) }
	novel := func(i int) string { return fmt.Sprintf("SELECT %d AS n%d FROM orders LIMIT 1", i, i) }
	p := &public{site: s}
	for range 3 {
		p.inside = append(p.inside, newWorker(t, p.dsn(), insideFrom, known))
	}
	p.novel = newWorker(t, p.dsn(), insideFrom, novel)
	p.past = newWorker(t, s.LabDirect(), nil, func(i int) string { return fmt.Sprintf("SELECT %d", i) })
	return p
}

func (p *public) dsn() string {
	return p.site.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase)
}

// season is what the public met in a while.
type season struct {
	inside, novel, past, arrivals times
	refused                       map[string]int // log-ins, by SQLSTATE
	failed                        error
}

// live lets everybody work until ctx is done.
func (p *public) live(ctx context.Context) *season {
	s := &season{refused: map[string]int{}}
	var mu sync.Mutex // guards s
	var all sync.WaitGroup
	workers := append(slices.Clone(p.inside), p.novel, p.past)
	for _, w := range workers {
		w.took = nil
		all.Go(func() {
			if err := w.run(ctx); err != nil {
				mu.Lock()
				s.failed = errors.Join(s.failed, err)
				mu.Unlock()
			}
		})
	}
	all.Go(func() { p.arrive(ctx, s) })
	all.Wait()
	for _, w := range p.inside {
		s.inside = append(s.inside, w.took...)
	}
	s.novel, s.past = p.novel.took, p.past.took
	for _, ts := range []times{s.inside, s.novel, s.past, s.arrivals} {
		slices.Sort(ts)
	}
	return s
}

// arrive logs in again and again.
func (p *public) arrive(ctx context.Context, s *season) {
	tick := time.NewTicker(10 * interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		conn, err := connectFrom(limit, p.dsn(), arrivalFrom)
		if err == nil {
			s.arrivals = append(s.arrivals, time.Since(began))
			_ = conn.Close(limit)
		} else {
			s.refused[refusal(err)]++
		}
		cancel()
		<-tick.C
	}
}

const beforeTLS = "before TLS"

// refusal is the SQLSTATE of a log-in that failed.
func refusal(err error) string {
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e):
		return e.Code
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return beforeTLS // the driver takes any 'E' for a no
	default:
		return err.Error()
	}
}
