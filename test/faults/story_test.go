package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// told is how far a session came, and what ended it.
type told struct {
	pid       uint32 // of the backend; 0 where there was no session
	conn      *pgconn.PgConn
	completed []string
	err       error
}

// code is the SQLSTATE that the client was told; empty for none.
func (s *told) code() string {
	var e *pgconn.PgError
	if errors.As(s.err, &e) {
		return e.Code
	}
	return ""
}

// rows says whether what ended the session ran through an answer of many rows.
func (s *told) rows() bool {
	n := len(s.completed)
	return n > 0 && (s.completed[n-1] == "prepare" || s.completed[n-1] == "copy in")
}

// story is a session that does everything, from the log-in to the goodbye. The tag
// stands in each of its statements.
func story(ctx context.Context, dsn, tag string, more ...step) *told {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return &told{err: err}
	}
	return storyOf(ctx, config, tag, more...)
}

// step is a part of a story.
type step struct {
	name string
	do   func(context.Context, *pgconn.PgConn) error
}

func storyOf(ctx context.Context, config *pgconn.Config, tag string, more ...step) *told {
	s := &told{}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		s.err = err
		return s
	}
	s.pid, s.conn = conn.PID(), conn
	note := func(name string, err error) bool {
		if err == nil {
			s.completed = append(s.completed, name)
		} else if s.err = err; s.code() == "22012" || s.code() == "42P01" {
			s.err = nil // what the story means to do wrong
			s.completed = append(s.completed, name)
		}
		return s.err == nil
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"simple", func() error { return simple(ctx, conn, "SELECT 1 /* %s */", tag) }},
		{"extended", func() error {
			return conn.ExecParams(ctx, "SELECT $1::text /* "+tag+" */", [][]byte{[]byte("p")}, nil, nil, nil).Read().Err
		}},
		{"error", func() error { return simple(ctx, conn, "SELECT 1/0 /* %s */", tag) }},
		{"prepare", func() error {
			_, err := conn.Prepare(ctx, "ps", "SELECT n FROM generate_series(1, 200) n /* "+tag+" */", nil)
			return err
		}},
		{"prepared", func() error { return conn.ExecPrepared(ctx, "ps", nil, nil, nil).Read().Err }},
		{"begin", func() error { return simple(ctx, conn, "BEGIN /* %s */", tag) }},
		{"temporary", func() error { return simple(ctx, conn, "CREATE TEMP TABLE t (a int) ON COMMIT DROP /* %s */", tag) }},
		{"copy in", func() error {
			_, err := conn.CopyFrom(ctx, strings.NewReader(strings.Repeat("17\n", 5000)), "COPY t FROM STDIN /* "+tag+" */")
			return err
		}},
		{"copy out", func() error {
			var out bytes.Buffer
			_, err := conn.CopyTo(ctx, &out, "COPY t TO STDOUT /* "+tag+" */")
			return err
		}},
		{"missing", func() error { return simple(ctx, conn, "SELECT * FROM missing /* %s */", tag) }},
		{"rollback", func() error { return simple(ctx, conn, "ROLLBACK /* %s */", tag) }},
		{"notify", func() error { return simple(ctx, conn, "LISTEN l; NOTIFY l, '%s'", tag) }},
		{"pipeline", func() error { return pipeline(ctx, conn, tag) }},
	} {
		if !note(step.name, step.do()) {
			break
		}
	}
	for _, step := range more {
		if s.err != nil || !note(step.name, step.do(ctx, conn)) {
			break
		}
	}
	if err := conn.Close(ctx); s.err == nil {
		s.err = err
	}
	return s
}

func simple(ctx context.Context, conn *pgconn.PgConn, format, tag string) error {
	_, err := conn.Exec(ctx, fmt.Sprintf(format, tag)).ReadAll()
	return err
}

func pipeline(ctx context.Context, conn *pgconn.PgConn, tag string) error {
	batch := &pgconn.Batch{}
	for n := range 5 {
		batch.ExecParams(fmt.Sprintf("SELECT %d /* %s */", n, tag), nil, nil, nil, nil)
	}
	_, err := conn.ExecBatch(ctx, batch).ReadAll()
	return err
}

// large are statements that fill a segment of the journal, one that is spooled, and
// all of forms that nobody has judged.
func large(tag string) []step {
	pad := strings.Repeat("x", 15_000) // below what is kept beside the records
	return []step{
		{"fill", func(ctx context.Context, conn *pgconn.PgConn) error {
			batch := &pgconn.Batch{}
			for n := range 40 {
				batch.ExecParams(fmt.Sprintf("SELECT %d AS %q /* %s %s */", n, fmt.Sprintf("%s%d", tag, n), tag, pad), nil, nil, nil, nil)
			}
			_, err := conn.ExecBatch(ctx, batch).ReadAll()
			return err
		}},
		{"blob", func(ctx context.Context, conn *pgconn.PgConn) error {
			return simple(ctx, conn, "SELECT 1 AS \"%s\" /* "+strings.Repeat("z", 100_000)+" */", tag)
		}},
		{"spool", func(ctx context.Context, conn *pgconn.PgConn) error {
			return simple(ctx, conn, "SELECT length('"+strings.Repeat("y", 1_200_000)+"') AS \"%s\"", tag)
		}},
	}
}
