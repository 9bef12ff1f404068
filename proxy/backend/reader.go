package backend

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Reader is a session of the proxy's own at a backend, which reads its catalog.
type Reader struct{ conn *pgconn.PgConn }

// Reader logs in as a session does, and keeps the connection to itself.
func (b *Backend) Reader(ctx context.Context, login Login) (*Reader, error) {
	session, err := b.Connect(ctx, login)
	if err != nil {
		return nil, err
	}
	conn, err := session.pgconn()
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return &Reader{conn}, nil
}

// Rows runs a query and gives each row to each, as text and nil for NULL, good until
// it returns. An error of its ends the query, and the session with it.
func (r *Reader) Rows(ctx context.Context, query string, args []string, each func(row [][]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := r.conn.ExecParams(ctx, query, values, nil, nil, nil)
	for result.NextRow() {
		if err := each(result.Values()); err != nil {
			cancel()
			_, _ = result.Close() // the connection is gone
			return err
		}
	}
	_, err := result.Close()
	return err
}

// Close ends the session.
func (r *Reader) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.conn.Close(ctx) // it has only read
}
