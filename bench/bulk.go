package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// bulkScript asks for 1,000 rows, about 114 KB.
const bulkScript = `\set first random(100000, 900000)
SELECT * FROM pgbench_accounts WHERE aid >= :first ORDER BY aid LIMIT 1000
`

const bulkQuery = "SELECT * FROM pgbench_accounts WHERE aid >= 500000 ORDER BY aid LIMIT 1000"

// bulk measures large results.
func (b *bench) bulk(ctx context.Context) error { return b.measureBulk(ctx, b.targets) }

func (b *bench) measureBulk(ctx context.Context, targets []*target) error {
	file := filepath.Join(b.stage.dir, "bulk.sql")
	if err := os.WriteFile(file, []byte(bulkScript), 0o600); err != nil {
		return err
	}
	bytes, err := b.stage.answerSize(ctx, bulkQuery)
	if err != nil {
		return err
	}
	b.result.BulkBytes = bytes
	return b.measure(ctx, load{"bulk", 8, []string{"-f", file}}, targets, bytes)
}

// answerSize counts the bytes with which PostgreSQL answers a query.
func (s *stage) answerSize(ctx context.Context, query string) (float64, error) {
	config, err := pgconn.ParseConfig(s.postgres.SocketDSN(database))
	if err != nil {
		return 0, err
	}
	var counted *counter
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		counted = &counter{Conn: c}
		return counted, err
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	before := counted.read.Load()
	if _, err := conn.Exec(ctx, query).ReadAll(); err != nil {
		return 0, err
	}
	return float64(counted.read.Load() - before), nil
}

// counter counts what is read.
type counter struct {
	net.Conn
	read atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// copies measures COPY in both directions, with psql, over the whole table.
func (b *bench) copies(ctx context.Context) error {
	file := filepath.Join(b.stage.dir, "accounts")
	if _, err := program(ctx, "psql", "-qX", "-c", `\copy pgbench_accounts to '`+file+`'`, b.stage.direct()); err != nil {
		return err
	}
	defer os.Remove(file)
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	for range min(b.rounds, copyRounds) {
		for _, t := range b.targets {
			if err := b.copy(ctx, "copy out", t, float64(info.Size()), `\copy pgbench_accounts to '/dev/null'`); err != nil {
				return err
			}
			in := `\copy loaded from '` + file + `'`
			if err := b.copy(ctx, "copy in", t, float64(info.Size()), in); err != nil {
				return err
			}
			if err := b.stage.postgres.Exec(ctx, database, "TRUNCATE loaded"); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyRounds are fewer than the others': each takes a hundred megabytes.
const copyRounds = 3

func (b *bench) copy(ctx context.Context, row string, t *target, bytes float64, command string) error {
	before, err := t.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := program(ctx, "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", command, t.dsn); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := t.cpu()
	if err != nil {
		return err
	}
	c := b.result.cell(row, t.name)
	c.stat("mb_per_s").add(bytes / 1e6 / took.Seconds())
	if t.pid != 0 {
		c.stat("cpu_ns_per_byte").add(float64(after.less(before).proxy.Nanoseconds()) / bytes)
	}
	return nil
}
