package testkit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Access says who may log in over TCP, beside the superuser over the socket.
type Access struct {
	HBA, Ident []string // lines of pg_hba.conf and pg_ident.conf
	// ClientCA are the authorities whose certificates clients may show, PEM.
	ClientCA []byte
}

// SetAccess replaces who may log in, and returns when that is in force: for new
// sessions.
func (p *Postgres) SetAccess(ctx context.Context, a Access) error {
	p.accesses++
	ca := filepath.Join(p.Dir, fmt.Sprintf("clients-%d.crt", p.accesses))
	files := map[string]string{
		ca: string(a.ClientCA),
		filepath.Join(p.dataDir(), "pg_hba.conf"):   hbaSocket + strings.Join(a.HBA, "\n") + "\n",
		filepath.Join(p.dataDir(), "pg_ident.conf"): strings.Join(a.Ident, "\n") + "\n",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		if err := p.give(path); err != nil {
			return err
		}
	}
	if err := p.Exec(ctx, "postgres", fmt.Sprintf("ALTER SYSTEM SET ssl_ca_file = '%s'", ca)); err != nil {
		return err
	}
	if err := p.Exec(ctx, "postgres", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	// The postmaster reads all of it in one go, and a session has what it had read.
	return WaitFor(ctx, func() error {
		is, err := p.Value(ctx, "postgres", "SHOW ssl_ca_file")
		if err == nil && is != ca {
			err = fmt.Errorf("ssl_ca_file is %s, not %s yet", is, ca)
		}
		return err
	})
}

// CertificateDSN is a connection string for a role over TCP, with TLS that is
// verified and a client certificate, both of whose files are named.
func (p *Postgres) CertificateDSN(role, certFile, keyFile, database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s",
		p.Host, p.Port, role, database, p.CAFile, certFile, keyFile)
}

// Rows runs a statement as superuser and returns its rows as text.
func (p *Postgres) Rows(ctx context.Context, database, sql string) ([][]string, error) {
	conn, err := pgconn.Connect(ctx, p.SocketDSN(database))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	result := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	var rows [][]string
	for _, r := range result.Rows {
		var row []string
		for _, v := range r {
			row = append(row, string(v))
		}
		rows = append(rows, row)
	}
	return rows, result.Err
}
