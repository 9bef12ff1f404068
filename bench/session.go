package main

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// loginRounds are fewer than the others': a log-in is long, and its cost steady.
const loginRounds = 3

// logins measures new sessions: TLS, authentication, the log-in at the backend,
// one statement, goodbye. PgBouncer takes a pooled session at the backend.
func (b *bench) logins(ctx context.Context) error {
	l := load{"log-in", 8, []string{"-S", "-C"}}
	for round := range min(b.rounds, loginRounds) {
		for i := range b.targets {
			t := b.targets[(i+round)%len(b.targets)]
			r, err := l.pgbench(ctx, t, inSeconds(b.seconds, report{})...)
			if err != nil {
				return err
			}
			b.note(l.name, t, r, 1)
		}
	}
	return nil
}

// Idle sessions: the first ones warm the proxy up, the others are counted.
const (
	idleWarm    = 50
	idleCounted = 400
	idleSettle  = 2 * time.Second
)

// idle measures the memory that a session takes which does nothing.
func (b *bench) idle(ctx context.Context) error {
	for _, t := range b.targets {
		if t.pid == 0 {
			continue
		}
		kb, err := b.idleMemory(ctx, t)
		if err != nil {
			return err
		}
		b.result.cell("idle", t.name).stat("kb_per_session").add(kb)
	}
	return nil
}

func (b *bench) idleMemory(ctx context.Context, t *target) (kb float64, err error) {
	warm, err := openSessions(ctx, t, idleWarm)
	defer closeSessions(ctx, warm)
	if err != nil {
		return 0, err
	}
	time.Sleep(idleSettle)
	before, err := resident(t.pid)
	if err != nil {
		return 0, err
	}
	counted, err := openSessions(ctx, t, idleCounted)
	defer closeSessions(ctx, counted)
	if err != nil {
		return 0, err
	}
	time.Sleep(idleSettle)
	after, err := resident(t.pid)
	return (after - before) / 1024 / idleCounted, err
}

// openSessions opens n sessions, eight at a time, and runs one statement in each.
func openSessions(ctx context.Context, t *target, n int) ([]*pgconn.PgConn, error) {
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		sessions []*pgconn.PgConn
		failed   error
	)
	config, err := pgconn.ParseConfig(t.dsn)
	if err != nil {
		return nil, err
	}
	clear(config.RuntimeParams) // what only libpq understands
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	for range 8 {
		wg.Go(func() {
			for range work {
				conn, err := pgconn.ConnectConfig(ctx, config)
				if err == nil {
					_, err = conn.Exec(ctx, "SELECT 1").ReadAll()
				}
				mu.Lock()
				if conn != nil {
					sessions = append(sessions, conn)
				}
				if err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return sessions, failed
}

func closeSessions(ctx context.Context, sessions []*pgconn.PgConn) {
	for _, s := range sessions {
		_ = s.Close(ctx)
	}
}
