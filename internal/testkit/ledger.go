package testkit

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Ledger is a second backend of a site, a cluster of its own that has no password at
// all: the proxy logs in by certificate. Its database, its backend and its rule
// have its name; APP-Orders-Readers read there as LedgerRole.
type Ledger struct {
	Name string
	// Bin is the directory of the server's programs; Debian's where it is empty.
	Bin string
	// Catalog says how its catalog is read, YAML; empty for not at all.
	Catalog string
	*Postgres
}

// LedgerRole reads the ledgers.
const LedgerRole = "app_ro_ledger"

//go:embed ledger.sql
var ledgerSQL string

//go:embed ledger18.sql
var ledger18SQL string

// CAFile and KeyFile are the files of a ledger's authority, in the site's directory.
func (l *Ledger) files(s *Site) (ca, key string) {
	return filepath.Join(s.Dir, l.Name+"-ca.pem"), filepath.Join(s.Dir, l.Name+"-ca.key")
}

// startLedgers starts the clusters, and adds them to the configuration.
func (s *Site) startLedgers(ctx context.Context) error {
	for _, l := range s.Ledgers {
		var err error
		l.Postgres, err = StartPostgres(ctx, filepath.Join(s.Dir, l.Name), PostgresOptions{Bin: l.Bin, Detached: s.options.Detached})
		if err != nil {
			return err
		}
		if err := l.Exec(ctx, "postgres", "CREATE DATABASE "+l.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Site) withLedgers(c *SiteConfig) {
	for _, l := range s.Ledgers {
		ca, key := l.files(s)
		c.ExtraBackends += fmt.Sprintf(`
  - name: %s
    hosts: ["%s"]
    tls: {ca: %s}
    tier: 1
    auth: certificate
    certificate: {ca: %s, key: %s}
`, l.Name, net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))), l.Postgres.CAFile, ca, key)
		if l.Catalog != "" {
			c.ExtraBackends += "    catalog: " + l.Catalog + "\n"
		}
		c.ExtraRules += fmt.Sprintf(`
  - name: %s
    groups: [%s]
    databases: [%[1]s]
    sources: [127.0.0.0/8]
    justification: everybody on this machine
    grant: {backend: %[1]s, role: %[3]s, classes: [READ, FUNCTION, MISC, MISC_SET], durability: process}
`, l.Name, GroupReaders, LedgerRole)
	}
}

// setupLedgers does what an operator does: backend add makes the authority and says
// what the server needs, the server is given that, and backend add finds it good.
func (s *Site) setupLedgers(ctx context.Context) error {
	for _, l := range s.Ledgers {
		said, err := s.AddBackend(ctx, l.Name)
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return fmt.Errorf("a server that knows nothing of the proxy lets it in: %w\n%s", err, said)
		}
		if err := l.Follow(ctx, s, said); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
		schema := ledgerSQL
		if version, err := l.Value(ctx, "postgres", "SHOW server_version_num"); err != nil {
			return err
		} else if version >= "160000" {
			schema += ledger18SQL
		}
		if err := l.Exec(ctx, l.Name, schema); err != nil {
			return err
		}
		if said, err = s.AddBackend(ctx, l.Name); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
	}
	return nil
}

// AddBackend runs pgcustos backend add, and returns what it prints.
func (s *Site) AddBackend(ctx context.Context, name string) (string, error) {
	return s.Run(ctx, "backend", "add", name, "--config", s.ConfigFile)
}

// Run runs a command of the proxy's program, and returns what it prints.
func (s *Site) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Follow gives the server what backend add printed.
func (l *Ledger) Follow(ctx context.Context, s *Site, said string) error {
	if err := l.Access(ctx, s, said); err != nil {
		return err
	}
	for _, sql := range lines(said, "psql, as a superuser") {
		if err := l.Exec(ctx, "postgres", sql); err != nil {
			return err
		}
	}
	return nil
}

// Access lets in whom backend add says, by the authority's certificates.
func (l *Ledger) Access(ctx context.Context, s *Site, said string) error {
	ca, _ := l.files(s)
	authority, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	return l.SetAccess(ctx, Access{HBA: lines(said, "pg_hba.conf"), Ident: lines(said, "pg_ident.conf"), ClientCA: authority})
}

// lines are the indented lines behind the one that begins so.
func lines(said, heading string) []string {
	_, rest, _ := strings.Cut(said, "\n"+heading)
	_, rest, _ = strings.Cut(rest, "\n")
	var out []string
	for line := range strings.SplitSeq(rest, "\n") {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		out = append(out, text)
	}
	return out
}
