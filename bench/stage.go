package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// The database that everybody measures on, and the role that owns it.
const (
	database     = "bench"
	role         = "bench"
	rolePassword = "Measures-the-pr0xies"
	scale        = 10
)

// stage is what the targets stand on: a domain controller, a PostgreSQL with
// pgbench's tables, and one certificate (ECDSA P-256) that all of them show.
type stage struct {
	dir        string
	ca         *testkit.CA
	caFile     string
	cert, key  string // files
	controller *testkit.Controller
	postgres   *testkit.Postgres
	binary     string // pgcustos
	servers    []*testkit.Server
}

func newStage(ctx context.Context) (*stage, error) {
	dir, err := os.MkdirTemp("", "pgcb")
	if err != nil {
		return nil, err
	}
	// PostgreSQL runs as a user of its own and has to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context) error {
	if err := s.certify(); err != nil {
		return err
	}
	say("build pgcustos")
	var err error
	if s.binary, err = testkit.BuildProxy(ctx, s.dir); err != nil {
		return err
	}
	say("start the domain controller and PostgreSQL")
	if s.controller, err = testkit.StartController(ctx, filepath.Join(s.dir, "dc"), testkit.Options{}); err != nil {
		return err
	}
	s.postgres, err = testkit.StartPostgres(ctx, filepath.Join(s.dir, "pg"), testkit.PostgresOptions{
		CA:     s.ca,
		Config: []string{"max_connections = 7000", "shared_buffers = '256MB'", "max_wal_size = '4GB'"},
	})
	if err != nil {
		return err
	}
	return s.fill(ctx)
}

func (s *stage) certify() error {
	var err error
	if s.ca, err = testkit.NewCA("pgcustos bench CA"); err != nil {
		return err
	}
	if s.caFile, err = s.ca.Write(s.dir, "ca"); err != nil {
		return err
	}
	cert, err := s.ca.Issue(testkit.Leaf{
		CommonName: "localhost", Names: []string{"localhost"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	})
	if err != nil {
		return err
	}
	s.cert, s.key, err = cert.Write(s.dir, "server")
	return err
}

// fill makes the tables of pgbench, and one that COPY is measured on.
func (s *stage) fill(ctx context.Context) error {
	say("fill the tables of pgbench, scale %d", scale)
	for _, sql := range []string{
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", role, rolePassword),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", database, role),
	} {
		if err := s.postgres.Exec(ctx, "postgres", sql); err != nil {
			return err
		}
	}
	if _, err := program(ctx, "pgbench", "-i", "-q", "-s", fmt.Sprint(scale), s.direct()); err != nil {
		return err
	}
	return s.postgres.Exec(ctx, database,
		"CREATE UNLOGGED TABLE loaded (LIKE pgbench_accounts); ALTER TABLE loaded OWNER TO "+role+"; CHECKPOINT")
}

// direct is the connection string without any proxy.
func (s *stage) direct() string { return s.dsn(s.postgres.Port, role, rolePassword) }

// dsn is a connection string for whoever listens on a port of this machine.
func (s *stage) dsn(port uint16, user, password string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=%s sslmode=verify-full sslrootcert=%s ssl_min_protocol_version=TLSv1.3",
		port, user, password, database, s.caFile)
}

func (s *stage) stop() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Stop())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	if s.controller != nil {
		errs = append(errs, s.controller.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
