package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// Sink writes to the database. It is a sink.Keeper.
type Sink struct {
	o    Options
	conn *pgconn.PgConn  // nil where there is none
	days map[string]bool // that have a partition, as far as this connection has seen
	buf  []byte          // of some rows, reused while it is not large
}

var _ sink.Keeper = (*Sink)(nil)

// keepBuffer is how large a buffer is kept for the next batch.
const keepBuffer = 4 << 20

// New makes a sink. It connects to nothing.
func New(o Options) *Sink { return &Sink{o: o} }

// Close ends the connection.
func (s *Sink) Close() error {
	s.drop()
	return nil
}

// drop ends the connection without a word: the server rolls back what is open.
func (s *Sink) drop() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
	}
	s.conn, s.days = nil, nil
}

func (s *Sink) connect(ctx context.Context) error {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	s.drop()
	conn, err := connect(ctx, &s.o)
	if err != nil {
		return err
	}
	s.conn, s.days = conn, map[string]bool{}
	return nil
}

// Positions implements sink.Keeper.
func (s *Sink) Positions(ctx context.Context) (sink.Positions, error) {
	at := sink.Positions{Streams: map[string]uint64{}}
	err := s.connect(ctx)
	if err == nil {
		err = s.positions(ctx, &at)
	}
	if err != nil {
		s.drop()
		return at, explain(err)
	}
	return at, nil
}

func (s *Sink) positions(ctx context.Context, at *sink.Positions) error {
	rows, err := s.query(ctx, "SELECT stream, sequence, (EXTRACT(epoch FROM since) * 1000000)::bigint FROM pgcustos.delivered($1)", s.o.Node)
	if err != nil {
		return err
	}
	for i, row := range rows {
		sequence, err1 := strconv.ParseUint(string(row[1]), 10, 63)
		since, err2 := strconv.ParseInt(string(row[2]), 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("the positions in the database: %w", err)
		}
		at.Streams[string(row[0])] = sequence
		if i == 0 { // the one that was set last
			at.Since = time.UnixMicro(since)
		}
	}
	return nil
}

// query runs one statement and returns its rows as text, none of which is NULL.
func (s *Sink) query(ctx context.Context, sql string, args ...string) ([][][]byte, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := s.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	for _, row := range result.Rows {
		if len(row) != len(result.FieldDescriptions) || slices.ContainsFunc(row, func(v []byte) bool { return v == nil }) {
			return nil, errors.New("the database answered with a row that was not asked for")
		}
	}
	return result.Rows, nil
}

// Deliver implements sink.Sink: one transaction, in which what the database has
// already is left out.
func (s *Sink) Deliver(ctx context.Context, records []*journal.Record) error {
	err := s.connect(ctx)
	if err == nil {
		err = s.partitions(ctx, records)
	}
	if err == nil {
		err = s.store(ctx, records)
	}
	if err != nil {
		s.drop()
		return explain(err)
	}
	return nil
}

// partitions sees to it that the days of the records have a partition, and
// tomorrow too, so that midnight waits for nobody.
func (s *Sink) partitions(ctx context.Context, records []*journal.Record) error {
	if err := s.partition(ctx, time.Now().Add(24*time.Hour)); err != nil {
		return err
	}
	for _, r := range records {
		if err := s.partition(ctx, storable(r.Time)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) partition(ctx context.Context, t time.Time) error {
	day := t.UTC().Format(time.DateOnly)
	if s.days[day] {
		return nil
	}
	if _, err := s.query(ctx, "SELECT pgcustos.make_partition($1::date)::text", day); err != nil {
		return err
	}
	s.days[day] = true
	return nil
}

// store copies what the database lacks. The claims hold other deliverers of the
// same streams off until the commit.
func (s *Sink) store(ctx context.Context, records []*journal.Record) error {
	if err := s.command(ctx, "BEGIN"); err != nil {
		return err
	}
	last := map[string]uint64{}
	for _, r := range records {
		last[r.Stream] = max(last[r.Stream], r.Sequence)
	}
	streams := make([]string, 0, len(last))
	for stream := range last {
		streams = append(streams, stream)
	}
	slices.Sort(streams) // one order for all, so that claims cannot deadlock
	has, err := s.claim(ctx, streams)
	if err != nil {
		return err
	}
	if err := s.copy(ctx, records, has); err != nil {
		return err
	}
	since := storable(records[0].Time).UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
	for _, stream := range streams {
		if has[stream] >= last[stream] {
			continue
		}
		_, err := s.query(ctx, "SELECT pgcustos.advance($1, $2, $3::bigint, $4::timestamptz)::text",
			s.o.Node, stream, strconv.FormatUint(last[stream], 10), since)
		if err != nil {
			return err
		}
	}
	return s.command(ctx, "COMMIT")
}

func (s *Sink) claim(ctx context.Context, streams []string) (map[string]uint64, error) {
	has := make(map[string]uint64, len(streams))
	for _, stream := range streams {
		rows, err := s.query(ctx, "SELECT pgcustos.claim($1, $2)", s.o.Node, stream)
		if err != nil {
			return nil, err
		}
		if len(rows) != 1 {
			return nil, errors.New("the database did not say what it has")
		}
		if has[stream], err = strconv.ParseUint(string(rows[0][0]), 10, 63); err != nil {
			return nil, fmt.Errorf("the database did not say what it has: %w", err)
		}
	}
	return has, nil
}

// command runs a statement whose command tag is its own text: COMMIT of a failed
// transaction says ROLLBACK.
func (s *Sink) command(ctx context.Context, sql string) error {
	result := s.conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if got := result.CommandTag.String(); got != sql {
		return fmt.Errorf("the database answered %s with %q", sql, got)
	}
	return nil
}

// copy sends what the database lacks. Rows are encoded as the server takes them, so
// that both work at once.
func (s *Sink) copy(ctx context.Context, records []*journal.Record, has map[string]uint64) error {
	rows := newRows(records, has, s.buf)
	if len(rows.left) == 0 {
		return nil
	}
	n := int64(len(rows.left))
	tag, err := s.conn.CopyFrom(ctx, rows, copyStatement)
	if s.buf = rows.close(); cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	if err == nil && tag.RowsAffected() != n {
		err = fmt.Errorf("the database took %d of %d records", tag.RowsAffected(), n)
	}
	return err
}

// explain adds what to do where that is known.
func explain(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == "3F000" || e.Code == "42P01" || e.Code == "42883") {
		return fmt.Errorf("%w (has pgcustos audit init been run?)", err)
	}
	return err
}
