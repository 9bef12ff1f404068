package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// startPgBouncer starts Debian's PgBouncer, session pooling, TLS 1.3 and SCRAM on
// the client's side. Its list of users holds the verifier that PostgreSQL has, so
// that it logs in with the client's own keys and works out none.
func (s *stage) startPgBouncer(ctx context.Context, name string, backendTLS bool, settings ...string) (*target, error) {
	dir, port, err := s.place(name)
	if err != nil {
		return nil, err
	}
	verifier, err := s.postgres.Value(ctx, "postgres", fmt.Sprintf("SELECT rolpassword FROM pg_authid WHERE rolname = '%s'", role))
	if err != nil {
		return nil, err
	}
	host, mode := s.postgres.Dir, "disable"
	if backendTLS {
		host, mode = s.postgres.Host, "verify-full"
	}
	config := append([]string{
		"[databases]",
		fmt.Sprintf("%s = host=%s port=%d", database, host, s.postgres.Port),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1", fmt.Sprintf("listen_port = %d", port), "unix_socket_dir =",
		"auth_type = scram-sha-256", "auth_file = " + filepath.Join(dir, "users"),
		"pool_mode = session", "default_pool_size = 4200", "max_client_conn = 4200",
		"client_tls_sslmode = require", "client_tls_protocols = tlsv1.3",
		"client_tls_cert_file = " + s.cert, "client_tls_key_file = " + filepath.Join(dir, "server.key"),
		"server_tls_sslmode = " + mode, "server_tls_protocols = tlsv1.3", "server_tls_ca_file = " + s.caFile,
		"log_connections = 0", "log_disconnections = 0",
	}, settings...)
	key, err := os.ReadFile(s.key)
	if err != nil {
		return nil, err
	}
	for file, text := range map[string]string{
		"pgbouncer.ini": strings.Join(config, "\n") + "\n",
		"users":         fmt.Sprintf("%q %q\n", role, verifier),
		"server.key":    string(key),
	} {
		if err := s.giveAway(filepath.Join(dir, file), text); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("/usr/sbin/pgbouncer", filepath.Join(dir, "pgbouncer.ini"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.postgres.Owner()} // it does not run as root
	return s.launch(ctx, name, dir, port, s.dsn(port, role, rolePassword), cmd)
}

// startHAProxy starts Debian's HAProxy, which passes TCP through: TLS is the
// client's and PostgreSQL's. PostgreSQL offers no TLS on a Unix socket.
func (s *stage) startHAProxy(ctx context.Context, name string) (*target, error) {
	dir, port, err := s.place(name)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`global
	maxconn 4000
defaults
	mode tcp
	timeout connect 10s
	timeout client 1h
	timeout server 1h
frontend clients
	bind 127.0.0.1:%d
	default_backend postgres
backend postgres
	server one 127.0.0.1:%d
`, port, s.postgres.Port)
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return s.launch(ctx, name, dir, port, s.dsn(port, role, rolePassword), exec.Command("/usr/sbin/haproxy", "-db", "-f", file))
}

// place makes a directory, and finds a port, for a target.
func (s *stage) place(name string) (dir string, port uint16, err error) {
	dir = filepath.Join(s.dir, "at", strings.NewReplacer(" ", "-", ",", "", "=", "-", "+", "-", ":", "").Replace(name))
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", 0, err
	}
	port, err = testkit.FreePort()
	return dir, port, err
}

// giveAway writes a file that only PostgreSQL's user can read.
func (s *stage) giveAway(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	owner := s.postgres.Owner()
	if owner == nil {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// launch starts a target and waits until it listens.
func (s *stage) launch(ctx context.Context, name, dir string, port uint16, dsn string, cmd *exec.Cmd) (*target, error) {
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	server, err := testkit.StartServer(ctx, name, filepath.Join(dir, "log"), fmt.Sprintf("127.0.0.1:%d", port), cmd)
	if err != nil {
		return nil, err
	}
	s.servers = append(s.servers, server)
	return &target{name: name, dsn: dsn, pid: server.PID(), server: server}, nil
}
