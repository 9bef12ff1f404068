package testkit

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SocketDSN is a connection string for the superuser over the Unix socket.
func (p *Postgres) SocketDSN(database string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable", p.Dir, p.Port, database)
}

// DSN is a connection string for a role over TCP, with TLS that is verified.
func (p *Postgres) DSN(role, password, database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=verify-full sslrootcert=%s",
		p.Host, p.Port, role, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password), database, p.CAFile)
}

// Exec runs statements as superuser, by the simple protocol.
func (p *Postgres) Exec(ctx context.Context, database, sql string) error {
	_, err := p.query(ctx, database, sql)
	return err
}

// Value runs statements as superuser and returns the first column of the last
// result's first row as text, empty where there is none.
func (p *Postgres) Value(ctx context.Context, database, sql string) (string, error) {
	results, err := p.query(ctx, database, sql)
	if err != nil || len(results) == 0 {
		return "", err
	}
	rows := results[len(results)-1].Rows
	if len(rows) == 0 || len(rows[0]) == 0 {
		return "", nil
	}
	return string(rows[0][0]), nil
}

func (p *Postgres) query(ctx context.Context, database, sql string) ([]*pgconn.Result, error) {
	conn, err := pgconn.Connect(ctx, p.SocketDSN(database))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	return conn.Exec(ctx, sql).ReadAll()
}
