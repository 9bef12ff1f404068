package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// The suites run as one superuser: directly under its own name, through the proxy
// as a service whose rule allows everything and gives that role.
const (
	role     = "conformance"
	password = "secret-Conf-1"
	account  = "svc-orders"
)

type server struct{ site *testkit.Site }

// way is how a suite reaches the server.
type way struct {
	name           string
	user, password string
	port           uint16
}

func (s *server) ways() [2]way {
	return [2]way{
		{"direct", role, password, s.site.Postgres.Port},
		{"proxied", account, testkit.OrdersPassword, s.site.Port},
	}
}

// start starts a site whose PostgreSQL has its programs in bin.
func start(ctx context.Context, bin string) (*server, error) {
	if err := os.Setenv("PGBIN", bin); err != nil {
		return nil, err
	}
	site, err := testkit.StartSite(ctx, "", testkit.SiteOptions{Fill: configure})
	if err != nil {
		return nil, err
	}
	if err := site.Postgres.Exec(ctx, "postgres", fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN PASSWORD '%s'", role, password)); err != nil {
		return nil, fmt.Errorf("%w: %w", err, site.Stop())
	}
	return &server{site: site}, nil
}

func configure(c *testkit.SiteConfig) {
	c.Roles = append(c.Roles, role)
	c.ExtraBackends += fmt.Sprintf(`
  - name: conformance
    hosts: ["%s"]
    tls: {ca: %s}
    tier: 2
    application_name: client
    credentials: {%s: {password_file: %s.password}}
`, c.BackendAddress, c.BackendCA, role, role)
	c.ExtraRules += fmt.Sprintf(`
  - name: conformance
    groups: [%s]
    databases: ["*"]
    sources: [127.0.0.0/8]
    kinds: [person, service]
    justification: everybody on this machine
    grant:
      backend: conformance
      role: %s
      classes: [%s]
      tags: [%s]
`, testkit.GroupServices, role, strings.Join(statement.ClassNames(), ", "), strings.Join(statement.TagNames(), ", "))
	if err := os.WriteFile(filepath.Join(c.Dir, role+".password"), []byte(password), 0o600); err != nil {
		panic(err) // the directory is the site's own
	}
}

// suite runs one, which leaves in the directory what is compared. DIRECT_* name the
// way that prepares databases: it is the same for both.
func (s *server) suite(ctx context.Context, script, left, work string, w way) error {
	if err := os.RemoveAll(left); err != nil {
		return err
	}
	if err := os.MkdirAll(left, 0o777); err != nil {
		return err
	}
	script, err := filepath.Abs(script)
	if err != nil {
		return err
	}
	if work, err = filepath.Abs(work); err != nil {
		return err
	}
	direct := s.ways()[0]
	cmd := exec.CommandContext(ctx, "bash", "-eu", script)
	cmd.Dir = left
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + left, "LC_ALL=C.UTF-8", "WORK=" + work, "DRIVERS=" + filepath.Join(filepath.Dir(script), "..", "drivers"),
		"PGHOST=" + s.site.Host, "PGPORT=" + strconv.Itoa(int(w.port)), "PGUSER=" + w.user, "PGPASSWORD=" + w.password, "PGSSLMODE=require", "PGDATABASE=suite",
		"DIRECT=" + fmt.Sprintf("host=%s port=%d user=%s password=%s sslmode=require", s.site.Host, direct.port, direct.user, direct.password),
	}
	return cmd.Run()
}
