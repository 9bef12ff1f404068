package testkit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresOptions say how to start a cluster. The zero value will do.
type PostgresOptions struct {
	// CA signs the server's certificate; one of its own where it is nil.
	CA *CA
	// Certificate is shown instead of one that is in order.
	Certificate *Certificate
	// Config is put behind the settings of the testkit's own, each line as in
	// postgresql.conf.
	Config []string
	// Detached lets the server outlive the program that started it.
	Detached bool
}

// Postgres is a running cluster that forgets everything with its directory:
// fsync is off. Over TCP it demands TLS and SCRAM; over the Unix socket in Dir,
// which only its owner and root can reach, the superuser postgres is trusted.
type Postgres struct {
	Dir    string
	Host   string // 127.0.0.1
	Port   uint16
	CA     *CA
	CAFile string // PEM

	bin       string
	owner     *syscall.Credential // nil where the server runs as whoever started it
	options   PostgresOptions
	temporary bool
	process   *process
}

// StartPostgres makes and starts a cluster in dir, which must be empty or
// absent; an empty name stands for a temporary directory that Stop removes. The
// programs are those of PGBIN, /usr/lib/postgresql/15/bin where that is unset.
// Under root the server runs as the user postgres, who must be able to reach
// dir.
func StartPostgres(ctx context.Context, dir string, options PostgresOptions) (*Postgres, error) {
	dir, temporary, err := prepareDir(dir, "pgcp")
	if err != nil {
		return nil, err
	}
	p := &Postgres{Dir: dir, Host: "127.0.0.1", CA: options.CA, options: options, temporary: temporary}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), p.Stop())
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context) error {
	p.bin = os.Getenv("PGBIN")
	if p.bin == "" {
		p.bin = "/usr/lib/postgresql/15/bin"
	}
	if _, err := os.Stat(filepath.Join(p.bin, "postgres")); err != nil {
		return fmt.Errorf("%w: install the package postgresql-15 (internal/testkit/install.sh does) or set PGBIN", err)
	}
	if err := p.findOwner(); err != nil {
		return err
	}
	if err := p.give(p.Dir); err != nil {
		return err
	}
	initdb := p.command(ctx, "initdb", "-D", p.dataDir(), "-U", "postgres", "--locale=C.UTF-8", "--encoding=UTF8",
		"--auth=trust", "--no-sync", "--no-instructions")
	if err := run(initdb); err != nil {
		return err
	}
	if err := p.writeCertificates(); err != nil {
		return err
	}
	const tries = 3 // another process may take the port that was free
	var err error
	for range tries {
		if err = p.writeConfig(); err != nil {
			return err
		}
		if err = p.Start(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (p *Postgres) findOwner() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// give hands a file over to the user that the server runs as.
func (p *Postgres) give(path string) error {
	if p.owner == nil {
		return nil
	}
	return os.Chown(path, int(p.owner.Uid), int(p.owner.Gid))
}

// command prepares a program of the cluster's, run as its owner.
func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = p.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"} // no PG* variables
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	return cmd
}

func (p *Postgres) dataDir() string { return filepath.Join(p.Dir, "data") }
func (p *Postgres) logFile() string { return filepath.Join(p.Dir, "postgres.log") }

func (p *Postgres) writeCertificates() error {
	var err error
	if p.CA == nil {
		if p.CA, err = NewCA("PostgreSQL test CA"); err != nil {
			return err
		}
	}
	if p.CAFile, err = p.CA.Write(p.Dir, "ca"); err != nil {
		return err
	}
	cert := p.options.Certificate
	if cert == nil {
		cert, err = p.CA.Issue(Leaf{
			CommonName: "localhost", Names: []string{"localhost"},
			Addresses: []netip.Addr{netip.MustParseAddr(p.Host)},
		})
		if err != nil {
			return err
		}
	}
	_, keyFile, err := cert.Write(p.Dir, "server")
	if err != nil {
		return err
	}
	return p.give(keyFile)
}

const hba = `# Over TCP only with TLS and SCRAM. The socket's directory is its owner's alone.
local   all postgres              trust
local   all all                   scram-sha-256
hostssl all all      127.0.0.1/32 scram-sha-256
`

func (p *Postgres) writeConfig() error {
	var err error
	if p.Port, err = FreePort(); err != nil {
		return err
	}
	config := fmt.Sprintf(`listen_addresses = '%s'
port = %d
unix_socket_directories = '%[3]s'
ssl = on
ssl_cert_file = '%[3]s/server.crt'
ssl_key_file = '%[3]s/server.key'
ssl_ca_file = '%[3]s/ca.crt'
password_encryption = 'scram-sha-256'
max_connections = 200
shared_buffers = '32MB'
fsync = off
full_page_writes = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%%m [%%p] %%q%%u@%%d %%a '
`, p.Host, p.Port, p.Dir) + strings.Join(p.options.Config, "\n") + "\n"
	for name, text := range map[string]string{"postgresql.conf": config, "pg_hba.conf": hba} {
		path := filepath.Join(p.dataDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		if err := p.give(path); err != nil {
			return err
		}
	}
	return nil
}

// Start starts a cluster again that was shut down or killed, on the same port.
func (p *Postgres) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	launch := func() error {
		var err error
		cmd := p.command(context.Background(), "postgres", "-D", p.dataDir())
		p.process, err = startProcess("postgres", p.logFile(), cmd, p.options.Detached)
		return err
	}
	if err := launch(); err != nil {
		return err
	}
	again := 20 // after a kill, what it leaves of backends must end before the next start
	err := WaitFor(ctx, func() error {
		if err := p.process.alive(); err != nil {
			if again--; again < 0 || !strings.Contains(p.process.logTail(), "is still in use") {
				return err
			}
			return errors.Join(err, launch())
		}
		return p.Exec(ctx, "postgres", "SELECT 1")
	})
	if err != nil {
		return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, p.process.logTail())
	}
	return nil
}

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

// PID returns the process id of the postmaster.
func (p *Postgres) PID() int { return p.process.pid }

// LogTail returns the end of the server's log.
func (p *Postgres) LogTail() string { return p.process.logTail() }

// LogFile returns the path of the server's log.
func (p *Postgres) LogFile() string { return p.logFile() }

// Freeze stops the postmaster in its tracks (SIGSTOP): new connections are
// accepted by the kernel and nothing answers. Thaw lets it go on.
func (p *Postgres) Freeze() error { return p.process.signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (p *Postgres) Thaw() error { return p.process.signal(syscall.SIGCONT) }

// Kill ends the postmaster at once (SIGKILL); backends that sit idle notice it
// and end by themselves. Start recovers the cluster.
func (p *Postgres) Kill() error { return p.process.kill() }

// Shutdown ends the cluster and every session in it, in order ("fast").
func (p *Postgres) Shutdown() error { return p.end(syscall.SIGINT) }

// ShutdownImmediate ends the cluster without a checkpoint ("immediate"): clients
// are told 57P02, the next start recovers.
func (p *Postgres) ShutdownImmediate() error { return p.end(syscall.SIGQUIT) }

// Restart is a Shutdown and a Start.
func (p *Postgres) Restart(ctx context.Context) error {
	if err := p.Shutdown(); err != nil {
		return err
	}
	return p.Start(ctx)
}

func (p *Postgres) end(sig syscall.Signal) error {
	if err := p.Thaw(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.process.stop(ctx, sig)
}

// Stop ends the cluster at once, and removes its directory where that is
// temporary.
func (p *Postgres) Stop() error {
	var err error
	if p.process != nil {
		err = p.ShutdownImmediate()
	}
	if p.temporary {
		err = errors.Join(err, os.RemoveAll(p.Dir))
	}
	return err
}
