package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// dumpRounds are fewer than the others': each moves two gigabytes twice.
	dumpRounds = 3
	// dumpRows are as those of pgbench_accounts, of which a dump has some 100 bytes each.
	dumpRows = 20_000_000
)

// dumps measures how long pg_dump and pg_restore take for a table of two gigabytes. The
// disk has its part in it, so that a share of direct's is taken within a round.
func (b *bench) dumps(ctx context.Context) error {
	file := filepath.Join(b.stage.dir, "dump")
	defer os.Remove(file)
	if err := b.stage.postgres.Exec(ctx, database, fmt.Sprintf(`CREATE UNLOGGED TABLE dumped AS
		SELECT n::int AS aid, 1 AS bid, 0 AS abalance, ''::char(84) AS filler FROM generate_series(1, %d) n;
		ALTER TABLE dumped OWNER TO %s`, dumpRows, role)); err != nil {
		return err
	}
	if err := b.stage.rest(ctx); err != nil {
		return err
	}
	var targets []*target
	for _, t := range b.targets {
		if t.name == directName || t.name == pgbouncerName || t.name == driverName(drivers[0]) {
			targets = append(targets, t)
		}
	}
	for round := range min(b.rounds, dumpRounds) {
		took := map[string][2]float64{}
		for i := range targets {
			t := targets[(i+round)%len(targets)]
			out, err := b.timed(ctx, t, "pg_dump, s", "pg_dump", "-Fc", "-Z0", "-t", "dumped", "-f", file, t.dsn)
			if err != nil {
				return err
			}
			in, err := b.timed(ctx, t, "pg_restore, s", "pg_restore", "--clean", "--no-owner", "-d", t.dsn, file)
			if err != nil {
				return err
			}
			took[t.name] = [2]float64{out, in}
			if err := b.stage.rest(ctx); err != nil {
				return err
			}
		}
		for name, t := range took {
			if direct := took[directName]; direct[0] > 0 {
				b.result.cell("pg_dump, s", name).stat("share").add(t[0] / direct[0])
				b.result.cell("pg_restore, s", name).stat("share").add(t[1] / direct[1])
			}
		}
	}
	return b.stage.postgres.Exec(ctx, database, "DROP TABLE dumped")
}

// rest leaves the server nothing to do behind the one who is measured next.
func (s *stage) rest(ctx context.Context) error {
	for _, sql := range []string{"VACUUM FREEZE dumped", "CHECKPOINT"} {
		if err := s.postgres.Exec(ctx, database, sql); err != nil {
			return err
		}
	}
	return nil
}

// timed runs a program against a target, and returns for how many seconds.
func (b *bench) timed(ctx context.Context, t *target, row, name string, args ...string) (seconds float64, err error) {
	began := time.Now()
	if _, err := program(ctx, name, args...); err != nil {
		return 0, err
	}
	seconds = time.Since(began).Seconds()
	b.result.cell(row, t.name).stat("seconds").add(seconds)
	return seconds, nil
}
