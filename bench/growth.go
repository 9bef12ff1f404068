package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// What grows, and how far.
const (
	ofSessions   = "sessions"
	ofRules      = "rules"
	ofGroups     = "groups of the principal"
	ofStatements = "distinct statements"
)

var (
	sessionSizes   = []int{1, 8, 64, 512, 4096}
	ruleSizes      = []int{1, 100, 10_000}
	groupSizes     = []int{1, 1000}
	statementSizes = []int{10, 10_000, 1_000_000}
)

// growthRounds are few: there are many points.
const growthRounds = 2

// compared are the targets of the curves that others have too.
func (b *bench) compared() []*target {
	var out []*target
	for _, t := range b.targets {
		if t.name == driverName(drivers[0]) || t.name == pgbouncerName {
			out = append(out, t)
		}
	}
	return out
}

// growSessions measures how the cost of a transaction grows with sessions.
func (b *bench) growSessions(ctx context.Context) error {
	for _, n := range sessionSizes {
		l := load{fmt.Sprintf("%d sessions", n), n, []string{"-S"}}
		targets := b.compared()
		slices.Reverse(targets) // PgBouncer keeps its sessions at the backend, which has no room for twice as many
		for _, t := range targets {
			if err := b.point(ctx, ofSessions, n, t, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// growStatements lets statements differ in an alias, which makes another shape:
// one in a thousand of a million is judged from the cache.
func (b *bench) growStatements(ctx context.Context) error {
	for _, n := range statementSizes {
		file := filepath.Join(b.stage.dir, fmt.Sprintf("statements%d.sql", n))
		script := fmt.Sprintf("\\set n random(1, %d)\n\\set aid random(1, 1000000)\n"+
			"SELECT abalance AS a:n FROM pgbench_accounts WHERE aid = :aid;\n", n)
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			return err
		}
		for _, t := range b.compared() {
			if err := b.point(ctx, ofStatements, n, t, load{ofStatements, 8, []string{"-f", file}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) growRules(ctx context.Context) error {
	for _, n := range ruleSizes {
		if err := b.pointOf(ctx, ofRules, n, variant{Rules: n - 1}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) growGroups(ctx context.Context) error {
	for _, n := range groupSizes {
		account := fmt.Sprintf("svc-groups-%d", n)
		if err := b.stage.controller.CreateUser(ctx, account, testkit.OrdersPassword, testkit.GroupServices); err != nil {
			return err
		}
		if err := b.stage.controller.CreateGroups(ctx, account, "Bench", n-1); err != nil {
			return err
		}
		if err := b.pointOf(ctx, ofGroups, n, variant{Account: account}); err != nil {
			return err
		}
	}
	return nil
}

// pointOf measures a pgcustos of its own.
func (b *bench) pointOf(ctx context.Context, of string, n int, v variant) error {
	v.Driver = drivers[0]
	t, err := b.stage.startPgcustos(ctx, fmt.Sprintf("%s %d", of, n), v)
	if err != nil {
		return err
	}
	named := *t
	named.name = driverName(v.Driver)
	if err := b.point(ctx, of, n, &named, load{of, 8, []string{"-S"}}); err != nil {
		return err
	}
	return t.server.Stop()
}

// longer is how much longer a crowd is measured: what it costs to connect it is taken
// from the whole, and is not the same each time.
func longer(clients int) float64 { return float64(max(1, clients/512)) }

// point measures one point of a curve.
func (b *bench) point(ctx context.Context, of string, size int, t *target, l load) error {
	connecting, err := l.connecting(ctx, t)
	if err != nil {
		return err
	}
	p := &point{Of: of, Target: t.name, Size: float64(size)}
	for range min(b.rounds, growthRounds) {
		r, err := l.pgbench(ctx, t, inSeconds(b.seconds*longer(l.clients), connecting)...)
		if err != nil {
			return err
		}
		cpu, n := r.cpu.less(connecting.cpu), r.transactions-connecting.transactions
		p.CPU.add(float64(cpu.proxy.Nanoseconds()) / 1e3 / n)
		p.Worker.add(float64(cpu.workers.Nanoseconds()) / 1e3 / n)
	}
	b.result.Growth = append(b.result.Growth, p)
	return nil
}
