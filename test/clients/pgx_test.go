package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// pgxStory is one thing that applications do with pgx. It writes down what it
// saw, which must be the same directly and through the proxy.
type pgxStory struct {
	name string
	run  func(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error
}

var pgxStories = []pgxStory{
	{"types", pgxTypes},
	{"batch", pgxBatch},
	{"failing batch", pgxFailingBatch},
	{"copy", pgxCopy},
	{"listen", pgxListen},
	{"transactions", pgxTransactions},
	{"prepared statements", pgxPrepared},
	{"pipeline", pgxPipeline},
	{"large values", pgxLarge},
	{"large objects", pgxLargeObjects},
	{"cancel", pgxCancel},
	{"simple protocol", pgxSimple},
}

func TestPgx(t *testing.T) {
	s := testkit.SharedSite(t)
	for _, story := range pgxStories {
		t.Run(strings.ReplaceAll(story.name, " ", "_"), func(t *testing.T) {
			same(t, tell(t, s.LabDirect(), story), tell(t, s.LabProxied(), story))
		})
	}
}

// tell runs a story in each of pgx's ways to query.
func tell(t *testing.T, dsn string, story pgxStory) string {
	t.Helper()
	var out strings.Builder
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		config.DefaultQueryExecMode = mode
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { fmt.Fprintf(&out, "notice %s\n", n.Message) }
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "-- %s\n", mode)
		say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
		if err := story.run(ctx, conn, say); err != nil {
			say("ended with %v", err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	return out.String()
}

func pgxTypes(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	for _, q := range []struct {
		sql string
		arg any
	}{
		{"SELECT $1::int8", int64(1) << 62},
		{"SELECT $1::float8", 1.25e300},
		{"SELECT $1::text", "Ünïcödé \\ ' \" \x01"},
		{"SELECT $1::bytea", []byte{0, 1, 2, 255}},
		{"SELECT $1::bool", true},
		{"SELECT $1::timestamptz", time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)},
		{"SELECT $1::numeric::text", "12345678901234567890.123456789"},
		{"SELECT $1::int4[]", []int32{1, 2, 3}},
		{"SELECT $1::text[]", []string{"a", `b"c`, "{d}"}},
		{"SELECT $1::jsonb::text", map[string]any{"k": []int{1, 2}}},
		{"SELECT $1::uuid", pgtype.UUID{Bytes: [16]byte{1, 2, 3}, Valid: true}},
		{"SELECT $1::inet::text", "192.168.0.0/24"},
		{"SELECT $1::interval::text", "3 days 04:05:06"},
		{"SELECT $1::text", nil},
		{"SELECT $1::int4", "not a number"},
	} {
		var got any
		err := c.QueryRow(ctx, q.sql, q.arg).Scan(&got)
		if at, ok := got.(time.Time); ok {
			got = at.UTC()
		}
		say("%s %v: %v %v", q.sql, q.arg, got, err)
	}
	return nil
}

func pgxBatch(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	b := &pgx.Batch{}
	b.Queue("CREATE TEMP TABLE b (n int, s text)")
	for i := range 500 {
		b.Queue("INSERT INTO pg_temp.b SELECT $1, $2", i, fmt.Sprint("row ", i))
	}
	if c.Config().DefaultQueryExecMode != pgx.QueryExecModeExec {
		// The others describe the statements first, which needs the table.
		if _, err := c.Exec(ctx, "CREATE TEMP TABLE b (n int, s text)"); err != nil {
			return err
		}
		b.QueuedQueries = b.QueuedQueries[1:]
	}
	b.Queue("SELECT count(*), sum(n) FROM pg_temp.b").QueryRow(func(row pgx.Row) error {
		var n, sum int64
		err := row.Scan(&n, &sum)
		say("%d rows, sum %d", n, sum)
		return err
	})
	return c.SendBatch(ctx, b).Close()
}

func pgxFailingBatch(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	b := &pgx.Batch{}
	for _, sql := range []string{"SELECT 1", "SELECT 1/(SELECT 0)", "SELECT 3"} {
		b.Queue(sql)
	}
	r := c.SendBatch(ctx, b)
	for range 3 {
		tag, err := r.Exec()
		say("%v %v", tag, err)
	}
	say("closing: %v", r.Close())
	var n int
	return c.QueryRow(ctx, "SELECT 4").Scan(&n)
}

func pgxCopy(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	if _, err := c.Exec(ctx, "CREATE TEMP TABLE c (n int, s text)"); err != nil {
		return err
	}
	rows := pgx.CopyFromSlice(20_000, func(i int) ([]any, error) { return []any{i, strings.Repeat("x", i%100)}, nil })
	n, err := c.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"n", "s"}, rows)
	say("copied %d, %v", n, err)
	broken := pgx.CopyFromSlice(1000, func(i int) ([]any, error) {
		if i == 900 {
			return nil, errors.New("the client gives up")
		}
		return []any{i, ""}, nil
	})
	n, err = c.CopyFrom(ctx, pgx.Identifier{"c"}, []string{"n", "s"}, broken)
	say("copied %d, %v", n, err)
	_, err = c.CopyFrom(ctx, pgx.Identifier{"no_such_table"}, []string{"n"}, pgx.CopyFromRows([][]any{{1}}))
	say("copied into nothing: %v", err)
	var out countingWriter
	tag, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT n, s FROM c ORDER BY n) TO STDOUT")
	say("out: %d bytes, %v %v", out, tag, err)
	var count, sum int64
	err = c.QueryRow(ctx, "SELECT count(*), sum(length(s)) FROM c").Scan(&count, &sum)
	say("%d rows, %d", count, sum)
	return err
}

type countingWriter int64

func (w *countingWriter) Write(b []byte) (int, error) {
	*w += countingWriter(len(b))
	return len(b), nil
}

func pgxListen(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	for _, sql := range []string{"LISTEN news", "NOTIFY news, 'first'", "SELECT pg_notify('news', 'second')"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for range 2 {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		say("%s: %s", n.Channel, n.Payload)
	}
	return nil
}

func pgxTransactions(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	if _, err := c.Exec(ctx, "CREATE TEMP TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO t VALUES (1), (1)")
		say("inserted: %v", err)
		return err
	})
	say("deferred: %v", err)
	_, err = c.Exec(ctx, "INSERT INTO t VALUES (2), (2)")
	say("deferred, implicit: %v", err)
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT 1/0")
			return err
		})
		say("savepoint: %v", inner)
		_, err := tx.Exec(ctx, "INSERT INTO t VALUES (3)")
		return err
	})
	say("outer: %v, status %c", err, c.PgConn().TxStatus())
	return nil
}

func pgxPrepared(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	sd, err := c.Prepare(ctx, "mine", "SELECT $1::int + 1")
	if err != nil {
		return err
	}
	say("%s takes %v", sd.Name, sd.ParamOIDs)
	for i := range 3 {
		var n int
		if err := c.QueryRow(ctx, "mine", i).Scan(&n); err != nil {
			return err
		}
		say("%d", n)
	}
	var n int
	err = c.QueryRow(ctx, "EXECUTE mine(41)", pgx.QueryExecModeSimpleProtocol).Scan(&n)
	say("by SQL: %d %v", n, err)
	if err := c.Deallocate(ctx, "mine"); err != nil {
		return err
	}
	_, err = c.PgConn().ExecPrepared(ctx, "mine", [][]byte{[]byte("1")}, nil, nil).Close()
	say("after its end: %v", err)
	if _, err := c.Exec(ctx, "PREPARE theirs AS SELECT 7", pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	res := c.PgConn().ExecPrepared(ctx, "theirs", nil, nil, nil).Read()
	say("by the wire: %s %v", res.Rows, res.Err)
	return nil
}

func pgxPipeline(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	p := c.PgConn().StartPipeline(ctx)
	p.SendQueryParams("SELECT 1", nil, nil, nil, nil)
	p.SendQueryParams("SELECT nothing", nil, nil, nil, nil)
	p.SendQueryParams("SELECT 3", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return err
	}
	p.SendQueryParams("SELECT 4", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return err
	}
	for {
		results, err := p.GetResults()
		switch r := results.(type) {
		case nil:
			say("end %v", err)
			if err == nil {
				return p.Close()
			}
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) {
				return err
			}
		case *pgconn.ResultReader:
			res := r.Read()
			say("%s %v", res.Rows, res.Err)
		case *pgconn.PipelineSync:
			say("sync")
		default:
			say("%T", r)
		}
	}
}

func pgxLarge(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	var n int
	err := c.QueryRow(ctx, "SELECT length($1::text)", big).Scan(&n)
	say("parameter: %d %v", n, err)
	err = c.QueryRow(ctx, "SELECT length('"+big+"')").Scan(&n)
	say("literal: %d %v", n, err)
	var s string
	err = c.QueryRow(ctx, "SELECT repeat('x', 20000000)").Scan(&s)
	say("result: %d %v", len(s), err)
	return nil
}

func pgxLargeObjects(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		los := tx.LargeObjects()
		oid, err := los.Create(ctx, 0)
		if err != nil {
			return err
		}
		o, err := los.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
		if err != nil {
			return err
		}
		n, err := o.Write([]byte("in a large object"))
		say("wrote %d %v", n, err)
		return los.Unlink(ctx, oid)
	})
}

func pgxCancel(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	// A cancel request over a connection of its own, as psql's Ctrl-C.
	done := make(chan error, 1)
	go func() {
		<-short.Done()
		done <- c.PgConn().CancelRequest(ctx)
	}()
	_, err := c.Exec(ctx, "SELECT pg_sleep(30)")
	say("%v", err)
	say("request: %v", <-done)
	var n int
	return c.QueryRow(ctx, "SELECT 1").Scan(&n)
}

func pgxSimple(ctx context.Context, c *pgx.Conn, say func(string, ...any)) error {
	for _, sql := range []string{"SELECT 1; SELECT 2", "", ";;", "-- nothing", "SELECT 1; SELECT 1/0; SELECT 2", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$"} {
		results, err := c.PgConn().Exec(ctx, sql).ReadAll()
		for _, r := range results {
			say("%q: %s %s", sql, r.CommandTag, r.Rows)
		}
		say("%q: %v", sql, err)
	}
	return nil
}
