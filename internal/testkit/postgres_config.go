package testkit

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

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

// The socket's directory is its owner's alone.
const hbaSocket = `local   all postgres              trust
local   all all                   scram-sha-256
`

const hba = "# Over TCP only with TLS and SCRAM.\n" + hbaSocket + "hostssl all,replication all 127.0.0.1/32 scram-sha-256\n"

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
wal_level = logical
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
