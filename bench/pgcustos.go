package main

import (
	"bytes"
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

//go:embed pgcustos.yaml.tmpl
var configTemplate string

// variant says how a pgcustos differs from the others.
type variant struct {
	Driver     string // of the relay
	BackendTLS bool
	Durability string
	Rules      int // that come before the one that fits
	Account    string
}

// drivers are those that make rows of their own; the first is the default.
var drivers = []string{"epoll", "goroutine"}

// startPgcustos starts a pgcustos with everything on: classification, rules,
// statement and outcome records.
func (s *stage) startPgcustos(ctx context.Context, name string, v variant) (*target, error) {
	dir, port, err := s.place(name)
	if err != nil {
		return nil, err
	}
	admin, err := testkit.FreePort()
	if err != nil {
		return nil, err
	}
	if v.Durability == "" {
		v.Durability = "process"
	}
	if v.Account == "" {
		v.Account = "svc-orders"
	}
	var config bytes.Buffer
	err = template.Must(template.New("pgcustos.yaml").Parse(configTemplate)).Execute(&config, struct {
		variant
		Dir, Cert, Key, CA, Role string
		Port, Admin              uint16
		Controller               *testkit.Controller
		Postgres                 *testkit.Postgres
		Others                   []int
	}{v, dir, s.cert, s.key, s.caFile, role, port, admin, s.controller, s.postgres, make([]int, v.Rules)})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "pgcustos.yaml")
	for path, text := range map[string]string{
		file:                                config.String(),
		filepath.Join(dir, "bind.password"): testkit.ReaderPassword,
		filepath.Join(dir, "role.password"): rolePassword,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(s.binary, "serve", "--config", file)
	t, err := s.launch(ctx, name, dir, port, s.dsn(port, v.Account, testkit.OrdersPassword), cmd)
	if err != nil {
		return nil, err
	}
	t.ours = true
	return t, nil
}

// driverName is how a pgcustos is called in tables.
func driverName(driver string) string { return "pgcustos " + driver }
