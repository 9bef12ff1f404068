package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// target is one way to the database.
type target struct {
	name   string
	dsn    string
	pid    int  // of the proxy; 0 for none
	ours   bool // a pgcustos, which has parser workers
	server *testkit.Server
}

// logTail shows the end of the target's log behind an error.
func (t *target) logTail() string {
	if t.server == nil {
		return ""
	}
	return "\n" + t.server.LogTail()
}

// bench is one run of everything.
type bench struct {
	stage             *stage
	rounds            int
	seconds           float64
	only, targetsOnly []string // rows and targets; all where empty

	targets []*target // with a Unix socket to PostgreSQL, where they can
	over    []*target // with TLS to PostgreSQL
	result  *result
}

// names of targets that others are compared with.
const (
	directName    = "direct"
	pgbouncerName = "PgBouncer"
	tunedName     = "PgBouncer pkt_buf=65536"
	haproxyName   = "HAProxy passthrough"
	overTLS       = " + TLS to the backend"
)

func (b *bench) wants(row string) bool {
	return len(b.only) == 0 || slices.Contains(b.only, row)
}

func (b *bench) all(ctx context.Context) (*result, error) {
	b.result = newResult(ctx, b)
	if err := b.startTargets(ctx); err != nil {
		return nil, err
	}
	steps := []struct {
		row string
		do  func(context.Context) error
	}{
		{"simple", b.load(load{"simple", 8, []string{"-S", "-M", "simple"}})},
		{"extended", b.load(load{"extended", 8, []string{"-S", "-M", "extended"}})},
		{"prepared", b.load(load{"prepared", 8, []string{"-S", "-M", "prepared"}})},
		{"bulk", b.bulk},
		{"one client", b.load(load{"one client", 1, []string{"-S", "-M", "simple"}})},
		{"log-in", b.logins},
		{"TLS to the backend", b.tlsToBackend},
		{"copy", b.copies},
		{"dump", b.dumps},
		{"idle", b.idle},
		{"latency", b.latency},
		{"growth by sessions", b.growSessions},
		{"growth by statements", b.growStatements},
		{"growth by rules", b.growRules},
		{"growth by groups", b.growGroups},
	}
	for _, step := range steps {
		family, _, _ := strings.Cut(step.row, " by ")
		if !b.wants(step.row) && !b.wants(family) {
			continue
		}
		say("%s", step.row)
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.row, err)
		}
	}
	return b.result, nil
}

// startTargets starts everybody. Whoever is not measured at a time sleeps.
func (b *bench) startTargets(ctx context.Context) error {
	say("start the proxies")
	s := b.stage
	type start = func() (*target, error)
	plain := map[string]start{
		directName:    func() (*target, error) { return &target{name: directName, dsn: s.direct()}, nil },
		pgbouncerName: func() (*target, error) { return s.startPgBouncer(ctx, pgbouncerName, false) },
		tunedName:     func() (*target, error) { return s.startPgBouncer(ctx, tunedName, false, "pkt_buf = 65536") },
		haproxyName:   func() (*target, error) { return s.startHAProxy(ctx, haproxyName) },
	}
	over := map[string]start{
		pgbouncerName + overTLS: func() (*target, error) { return s.startPgBouncer(ctx, pgbouncerName+overTLS, true) },
	}
	order := []string{directName, pgbouncerName, tunedName, haproxyName}
	overOrder := []string{pgbouncerName + overTLS}
	for _, d := range drivers {
		name := driverName(d)
		plain[name] = func() (*target, error) { return s.startPgcustos(ctx, name, variant{Driver: d}) }
		over[name+overTLS] = func() (*target, error) {
			return s.startPgcustos(ctx, name+overTLS, variant{Driver: d, BackendTLS: true})
		}
		order, overOrder = append(order, name), append(overOrder, name+overTLS)
	}
	var err error
	if b.targets, err = b.begin(order, plain); err == nil {
		b.over, err = b.begin(overOrder, over)
	}
	return err
}

func (b *bench) begin(order []string, starts map[string]func() (*target, error)) ([]*target, error) {
	var out []*target
	for _, name := range order {
		if len(b.targetsOnly) > 0 && !slices.Contains(b.targetsOnly, name) {
			continue
		}
		t, err := starts[name]()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// load measures a load on all targets.
func (b *bench) load(l load) func(context.Context) error {
	return func(ctx context.Context) error { return b.measure(ctx, l, b.targets, 1) }
}

// measure takes the targets in turn, each round beginning with another one.
// Connecting is taken out of the processor time. per is what the time is divided
// by besides transactions: 1, or the bytes of one.
func (b *bench) measure(ctx context.Context, l load, targets []*target, bytes float64) error {
	connecting := make(map[*target]report)
	for _, t := range targets {
		r, err := l.connecting(ctx, t)
		if err != nil {
			return err
		}
		connecting[t] = r
	}
	for round := range b.rounds {
		var direct float64
		for i := range targets {
			t := targets[(i+round)%len(targets)]
			r, err := l.pgbench(ctx, t, inSeconds(b.seconds, connecting[t])...)
			if err != nil {
				return err
			}
			r.cpu = r.cpu.less(connecting[t].cpu)
			r.transactions -= connecting[t].transactions
			b.note(l.name, t, r, bytes)
			if t.name == directName {
				direct = r.tps
			}
		}
		b.result.share(l.name, direct)
	}
	return nil
}

// note enters one run into the result.
func (b *bench) note(row string, t *target, r report, bytes float64) {
	c := b.result.cell(row, t.name)
	c.stat("tps").add(r.tps)
	c.stat("latency_us").add(r.latency)
	if bytes > 1 {
		c.stat("mb_per_s").add(r.tps * bytes / 1e6)
	}
	if t.pid == 0 {
		return
	}
	c.stat("cpu_us").add(float64(r.cpu.proxy.Nanoseconds()) / 1e3 / r.transactions)
	if bytes > 1 {
		c.stat("cpu_ns_per_byte").add(float64(r.cpu.proxy.Nanoseconds()) / r.transactions / bytes)
	}
	if t.ours {
		c.stat("workers_us").add(float64(r.cpu.workers.Nanoseconds()) / 1e3 / r.transactions)
	}
}

// overRounds are fewer than the others': the difference is large.
const overRounds = 3

// tlsToBackend measures what a second TLS costs.
func (b *bench) tlsToBackend(ctx context.Context) error {
	rounds := b.rounds
	b.rounds = min(rounds, overRounds)
	defer func() { b.rounds = rounds }()
	l := load{"simple", 8, []string{"-S", "-M", "simple"}}
	if err := b.measure(ctx, l, b.over, 1); err != nil {
		return err
	}
	return b.measureBulk(ctx, b.over)
}
