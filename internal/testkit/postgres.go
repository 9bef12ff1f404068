package testkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
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
	// Bin is the directory of the server's programs; PGBIN where it is empty.
	Bin string
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
	accesses  int // how often SetAccess was called
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
	p.bin = cmp.Or(p.options.Bin, os.Getenv("PGBIN"), "/usr/lib/postgresql/15/bin")
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
		if p.owner != nil && errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%w (can the user postgres reach %s?)", err, p.Dir)
		}
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

// command prepares a program of the cluster's, run as its owner.
func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = p.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"} // no PG* variables
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	return cmd
}

// Start starts a cluster again that was shut down or killed, on the same port.
func (p *Postgres) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	cmd := p.command(context.Background(), "postgres", "-D", p.dataDir())
	if p.process, err = startProcess("postgres", p.logFile(), cmd, p.options.Detached); err != nil {
		return err
	}
	err = WaitFor(ctx, func() error {
		if err := p.process.alive(); err != nil {
			return err
		}
		return p.Exec(ctx, "postgres", "SELECT 1")
	})
	if err != nil {
		return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, p.process.logTail())
	}
	return nil
}

// PID returns the process id of the postmaster.
func (p *Postgres) PID() int { return p.process.pid }

// LogTail returns the end of the server's log.
func (p *Postgres) LogTail() string { return p.process.logTail() }

// LogFile returns the path of the server's log.
func (p *Postgres) LogFile() string { return p.logFile() }
