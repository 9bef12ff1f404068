package testkit

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// SiteOptions say how to start a site. The zero value will do.
type SiteOptions struct {
	// Binary is the proxy's; it is built where that is empty.
	Binary string
	// Detached lets everything outlive the program that started it.
	Detached bool
	// Port is the proxy's; a free one where it is 0.
	Port uint16
	// Audit adds the audit database: a sink delivers the record to it, and the
	// auditors read it through the proxy.
	Audit bool
	// Kerberos lets the proxy take tickets.
	Kerberos bool
	// Postgres are lines for the server's postgresql.conf.
	Postgres []string
	// Ledgers are further backends, which have no password.
	Ledgers []*Ledger
	// Fill changes what the configuration is made from before it is written.
	Fill func(*SiteConfig)
	// Environment is what else the proxy finds in its environment: NAME=value.
	Environment []string
	// Launch changes how the proxy's command is started, each time that it is.
	Launch func(*exec.Cmd) error
	// Progress hears of each step.
	Progress func(step string)
}

// SiteConfig is what a site's configuration is made from.
type SiteConfig struct {
	Dir, Address, Admin                    string
	Controller, ControllerCA, ControllerIP string
	BackendAddress, BackendCA              string
	BackendHost                            string
	BackendPort                            uint16
	Audit                                  bool
	SigningKey                             string // of checkpoints, a file; empty for none
	Encryption                             string // YAML; empty for none
	SegmentSize, Compression               string
	MaxMessage, PreAuth                    string
	ProxyProtocolFrom, Journal             string
	Parser, Grace, ShutdownTimeout         string
	Driver                                 string // epoll, or what PGCUSTOS_TEST_DRIVER says
	Recheck                                string
	Roles                                  []string
	Connections                            int    // of the backend, and of PostgreSQL with some to spare, at the start
	Limits                                 string // of the readers
	Catalog                                string // YAML, of the backend orders; empty for none
	ReaderMode, Durability, Budget         string
	ExtraRules, ExtraBackends, Sinks       string // YAML, at the level of the list
	Redact                                 string // YAML, a list; empty for none
	ExtraServices                          string // likewise
	Tracing                                string // YAML; empty for none
	Directory                              string // YAML, the section's content; empty for the one domain
	Kerberos                               string // YAML, the section; empty for none
	ClientCertificates                     string // YAML, the section; empty for none
	Memory                                 string // likewise
	LogLevel                               string
}

// Site is a domain controller, a PostgreSQL with the orders database, and the
// proxy between them, the real program as a process of its own.
type Site struct {
	Dir        string
	Controller *Controller
	Postgres   *Postgres
	Ledgers    []*Ledger
	Binary     string
	ConfigFile string
	CAFile     string // of the proxy's certificate, PEM
	Host       string // 127.0.0.1
	Port       uint16
	Admin      string // host:port
	Journal    string // directory

	options   SiteOptions
	config    SiteConfig
	temporary bool
	proxy     *process
}

//go:embed site.yaml.tmpl
var siteTemplate string

// StartSite starts a site in dir, which must be empty or absent; an empty name
// stands for a temporary directory that Stop removes.
func StartSite(ctx context.Context, dir string, options SiteOptions) (*Site, error) {
	dir, temporary, err := prepareDir(dir, "pgcs")
	if err != nil {
		return nil, err
	}
	// PostgreSQL runs as a user of its own and has to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	s := &Site{Dir: dir, Host: "127.0.0.1", Ledgers: options.Ledgers, options: options, temporary: temporary}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Site) start(ctx context.Context) error {
	type step struct {
		name string
		do   func(context.Context) error
	}
	steps := []step{
		{"build the proxy", s.build},
		{"start the domain controller of " + Realm, s.startController},
		{"start PostgreSQL and fill the orders database", s.startPostgres},
	}
	if len(s.Ledgers) > 0 {
		steps = append(steps, step{"start PostgreSQL for the ledger, which has no password", s.startLedgers})
	}
	steps = append(steps, step{"write certificates, passwords and the configuration", s.configure})
	if len(s.Ledgers) > 0 {
		steps = append(steps, step{"make the ledger's authority: pgcustos backend add", s.setupLedgers})
	}
	if s.options.Audit {
		steps = append(steps, step{"make the audit database", s.setupAudit})
	}
	for _, step := range append(steps, step{"start the proxy", s.StartProxy}) {
		if s.options.Progress != nil {
			s.options.Progress(step.name)
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (s *Site) build(ctx context.Context) error {
	var err error
	s.Binary = s.options.Binary
	if s.Binary == "" {
		s.Binary, err = BuildProxy(ctx, s.Dir)
	}
	return err
}

func (s *Site) startController(ctx context.Context) (err error) {
	s.Controller, err = StartController(ctx, filepath.Join(s.Dir, "dc"), Options{Detached: s.options.Detached})
	return err
}

func (s *Site) startPostgres(ctx context.Context) (err error) {
	s.Postgres, err = StartPostgres(ctx, filepath.Join(s.Dir, "pg"), PostgresOptions{
		Detached: s.options.Detached, Config: s.options.Postgres,
	})
	if err != nil {
		return err
	}
	return s.Postgres.SetupOrders(ctx)
}

// configure writes all that the proxy reads.
func (s *Site) configure(context.Context) error {
	if err := s.writeCertificate(); err != nil {
		return err
	}
	secrets := map[string]string{"bind": ReaderPassword}
	c := SiteConfig{
		Dir: s.Dir, Controller: s.Controller.URL, ControllerCA: s.Controller.CAFile, ControllerIP: s.Controller.Addr.String(),
		BackendAddress: net.JoinHostPort(s.Postgres.Host, strconv.Itoa(int(s.Postgres.Port))), BackendCA: s.Postgres.CAFile,
		BackendHost: s.Postgres.Host, BackendPort: s.Postgres.Port, Audit: s.options.Audit,
		SegmentSize: "16MiB", Compression: "zstd", MaxMessage: "128MiB", PreAuth: "{timeout: 30s, connections: 500, connections_per_source: 200}",
		ProxyProtocolFrom: "[]", Parser: "{workers: 2, timeout: 5s}", Grace: "1s", ShutdownTimeout: "10s", Recheck: "1m",
		Driver:      cmp.Or(os.Getenv("PGCUSTOS_TEST_DRIVER"), "epoll"),
		LogLevel:    "debug",
		Connections: 150, Limits: "{}", ReaderMode: "enforce", Durability: "process",
		Journal: filepath.Join(s.Dir, "journal"),
	}
	if s.options.Kerberos {
		s.WithKerberos(&c, "")
	}
	for role, password := range OrdersRoles() {
		c.Roles = append(c.Roles, role)
		secrets[role] = password
	}
	if c.Audit {
		maps.Copy(secrets, auditRoles())
	}
	for name, secret := range secrets {
		if err := os.WriteFile(filepath.Join(s.Dir, name+".password"), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	if err := s.ports(&c); err != nil {
		return err
	}
	s.withLedgers(&c)
	s.config = c
	return s.WriteConfig(s.options.Fill)
}

func (s *Site) writeCertificate() error {
	ca, err := NewCA("pgcustos demo CA")
	if err != nil {
		return err
	}
	if s.CAFile, err = ca.Write(s.Dir, "ca"); err != nil {
		return err
	}
	cert, err := ca.Issue(Leaf{CommonName: "localhost", Names: []string{"localhost", ProxyName}, Addresses: []netip.Addr{netip.MustParseAddr(s.Host)}})
	if err != nil {
		return err
	}
	_, _, err = cert.Write(s.Dir, "server")
	return err
}

func (s *Site) ports(c *SiteConfig) error {
	var err error
	if s.Port = s.options.Port; s.Port == 0 {
		if s.Port, err = FreePort(); err != nil {
			return err
		}
	}
	admin, err := FreePort()
	if err != nil {
		return err
	}
	c.Address = net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
	c.Admin = net.JoinHostPort(s.Host, strconv.Itoa(int(admin)))
	s.Admin = c.Admin
	return nil
}

// WriteConfig writes the configuration, with what fill changes in it from now
// on; the proxy reads it at its next start or SIGHUP.
func (s *Site) WriteConfig(fill func(*SiteConfig)) error {
	if fill != nil {
		fill(&s.config)
	}
	s.Journal = s.config.Journal
	t, err := template.New("pgcustos.yaml").Parse(siteTemplate)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, s.config); err != nil {
		return err
	}
	s.ConfigFile = filepath.Join(s.Dir, "pgcustos.yaml")
	return os.WriteFile(s.ConfigFile, out.Bytes(), 0o644)
}

// StartProxy starts the proxy, and waits until it is ready.
func (s *Site) StartProxy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(context.Background(), s.Binary, "serve", "--config", s.ConfigFile)
	cmd.Dir = s.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=0 exitcode=66"}, s.options.Environment...)
	var err error
	if s.options.Launch != nil {
		if err = s.options.Launch(cmd); err != nil {
			return err
		}
	}
	if s.proxy, err = startProcess("pgcustos", s.proxyLog(), cmd, s.options.Detached); err != nil {
		return err
	}
	err = WaitFor(ctx, func() error {
		if err := s.proxy.alive(); err != nil {
			return err
		}
		return s.Get(ctx, "/readyz", nil)
	})
	if err != nil {
		return fmt.Errorf("the proxy is not ready: %w\n%s", err, s.proxy.logTail())
	}
	return nil
}

func (s *Site) proxyLog() string { return filepath.Join(s.Dir, "pgcustos.log") }

// Get asks the admin server for a path. The answer, if it is 200, goes to out.
func (s *Site) Get(ctx context.Context, path string, out *strings.Builder) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Admin+path, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", path, res.Status, strings.TrimSpace(body.String()))
	}
	if out != nil {
		out.Write(body.Bytes())
	}
	return nil
}

// DSN is a connection string for the proxy, with TLS that is verified. Without a
// password, whoever connects is asked for one.
func (s *Site) DSN(user, password, database string) string {
	quote := func(v string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'" }
	dsn := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=verify-full sslrootcert=%s",
		s.Host, s.Port, quote(user), quote(database), s.CAFile)
	if password != "" {
		dsn += " password=" + quote(password)
	}
	return dsn
}

// WithKerberos lets the proxy take tickets, besides those that pins say, YAML at
// the level of the list, are asked for something else.
func (s *Site) WithKerberos(c *SiteConfig, pins string) {
	c.Kerberos = fmt.Sprintf("kerberos: {keytab: %s, pins: [%s]}", s.Controller.Keytab(), pins)
}

// WithOther lets the proxy know OTHER.EXAMPLE beside the site's own domain, of which
// names without one are.
func (s *Site) WithOther(ctx context.Context, c *SiteConfig, o *Controller) error {
	c.Directory = "\n  default: " + NetBIOS + "\n  domains:"
	for _, dc := range []*Controller{s.Controller, o} {
		sid, err := dc.SID(ctx, "")
		if err != nil {
			return err
		}
		c.Directory += fmt.Sprintf(`
    - domain: %s
      netbios: %s
      sid: %s
      controllers: ["%s"]
      ca: %s
      bind_name: svc-pgcustos@%[1]s
      bind_password_file: bind.password
      timeout: 3s
      recheck: %[6]s`, dc.names.Domain, dc.names.NetBIOS, sid, dc.URL, dc.CAFile, c.Recheck)
	}
	return nil
}

// TicketDSN is a connection string for the proxy by the name that tickets are for.
func (s *Site) TicketDSN(user, database string) string {
	return fmt.Sprintf("host=%s hostaddr=%s port=%d user='%s' dbname=%s sslmode=verify-full sslrootcert=%s",
		ProxyName, s.Host, s.Port, user, database, s.CAFile)
}

// Reload has the proxy read its configuration, and waits until that has taken effect: it
// is on record before that, and counted afterwards.
func (s *Site) Reload(ctx context.Context) error {
	before, err := s.reloads(ctx)
	if err != nil {
		return err
	}
	if err := s.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return WaitFor(ctx, func() error {
		now, err := s.reloads(ctx)
		switch {
		case err != nil:
			return err
		case now["failure"] != before["failure"]:
			return fmt.Errorf("%w: the configuration is refused\n%s", ErrGiveUp, s.LogTail())
		case now["success"] == before["success"]:
			return errors.New("nothing was reloaded")
		}
		return nil
	})
}

// reloads reads the counters of reloads, by result.
func (s *Site) reloads(ctx context.Context) (map[string]string, error) {
	var metrics strings.Builder
	if err := s.Get(ctx, "/metrics", &metrics); err != nil {
		return nil, err
	}
	counts := map[string]string{}
	for line := range strings.Lines(metrics.String()) {
		if rest, found := strings.CutPrefix(line, `pgcustos_reloads_total{result="`); found {
			result, count, _ := strings.Cut(rest, `"}`)
			counts[result] = strings.TrimSpace(count)
		}
	}
	return counts, nil
}

// ProxyPID returns the process id of the proxy.
func (s *Site) ProxyPID() int { return s.proxy.pid }

// LogTail returns the end of the proxy's log.
func (s *Site) LogTail() string { return s.proxy.logTail() }

// LogFile returns the path of the proxy's log.
func (s *Site) LogFile() string { return s.proxyLog() }

// Signal sends the proxy a signal.
func (s *Site) Signal(sig syscall.Signal) error { return s.proxy.signal(sig) }

// KillProxy ends the proxy at once (SIGKILL).
func (s *Site) KillProxy() error { return s.proxy.kill() }

// StopProxy ends the proxy with SIGTERM and waits for it. The error tells of an
// exit status other than 0, which a data race causes too.
func (s *Site) StopProxy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.proxy.stop(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	if s.proxy.err != nil {
		return fmt.Errorf("the proxy: %w\n%s", s.proxy.err, s.proxy.logTail())
	}
	return nil
}

// Stop ends everything, and removes the directory where that is temporary.
func (s *Site) Stop() error {
	var errs []error
	if s.proxy != nil && s.proxy.alive() == nil {
		errs = append(errs, s.StopProxy())
	}
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Stop())
	}
	for _, l := range s.Ledgers {
		if l.Postgres != nil {
			errs = append(errs, l.Postgres.Stop())
		}
	}
	if s.Controller != nil {
		errs = append(errs, s.Controller.Stop())
	}
	if s.temporary {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	return errors.Join(errs...)
}

// Processes names what a detached site runs, by process id, in the order in which
// it is to be ended.
func (s *Site) Processes() []int {
	processes := []*process{s.proxy, s.Postgres.process, s.Controller.process}
	for _, l := range s.Ledgers {
		processes = append(processes, l.process)
	}
	var pids []int
	for _, p := range processes {
		if p != nil {
			pids = append(pids, p.pid)
		}
	}
	return pids
}
