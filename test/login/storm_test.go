package login

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestStorm: two thousand log-ins at once, and no controller that answers. Who is
// in notices nothing; each of the others is told why, or that there are too many.
func TestStorm(t *testing.T) {
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		// A client makes room for others after a tenth of the timeout, which a slow machine may
		// take for the handshakes of all.
		c.PreAuth = "{timeout: 3m, connections: 1000, connections_per_source: 1000}"
	})
	inside, err := pgconn.Connect(t.Context(), s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Controller.Freeze(); err != nil {
		t.Fatal(err)
	}
	const (
		storm   = 2000
		notNow  = "57P03" // the directory does not answer
		tooMany = "53300" // too many clients already
	)
	var waiting atomic.Int32
	waiting.Store(storm)
	var mu sync.Mutex
	told := map[string]int{} // guarded by mu
	var all sync.WaitGroup
	for n := range storm {
		all.Go(func() {
			defer waiting.Add(-1)
			conn, err := connectFrom(t, s, fmt.Sprintf("127.22.%d.%d", n%7, n%250+1), "bob", testkit.BobPassword)
			var e *pgconn.PgError
			code := ""
			switch {
			case err == nil:
				_ = conn.Close(t.Context())
			case errors.As(err, &e):
				code = e.Code
			case strings.Contains(err.Error(), "server refused TLS connection"):
				code = tooMany // in clear, before TLS; the driver takes any 'E' for a no
			}
			mu.Lock()
			told[code]++
			mu.Unlock()
			if code == "" {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	var took []time.Duration
	for waiting.Load() > 0 {
		began := time.Now()
		if _, err := inside.Exec(t.Context(), "SELECT count(*) FROM orders").ReadAll(); err != nil {
			t.Fatalf("who is in: %v", err)
		}
		took = append(took, time.Since(began))
	}
	all.Wait()
	slices.Sort(took)
	t.Logf("told %v; %d statements of who is in meanwhile, median %s, p99 %s, longest %s",
		told, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	if told[notNow] == 0 || told[notNow]+told[tooMany] != storm {
		t.Errorf("told %v", told)
	}
	// The log-ins took seconds each. Had anyone inside waited for one of them,
	// there would have been few statements.
	if len(took) < 20 {
		t.Errorf("%d statements while the storm lasted", len(took))
	}
	if err := s.Controller.Thaw(); err != nil {
		t.Fatal(err)
	}
	// Nothing of it has counted as a wrong password.
	if err := testkit.WaitFor(t.Context(), func() error {
		conn, err := connectFrom(t, s, "127.22.9.9", "bob", testkit.BobPassword)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := inside.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
