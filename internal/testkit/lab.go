package testkit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// The lab is a database of the site where a rule allows everything, so that what
// clients see through the proxy can be compared with what they see directly: as
// the service svc-orders through the proxy, as its role directly.
const (
	LabDatabase = "lab"
	LabRole     = "lab_owner"
	LabPassword = "lab-2024-Owner"
)

// WithLab adds the lab's rule to a configuration.
func WithLab(c *SiteConfig) {
	c.Roles = append(c.Roles, LabRole)
	c.ExtraRules += fmt.Sprintf(`
  - name: lab
    groups: [%s]
    databases: [%s, replication]
    sources: [127.0.0.0/8]
    kinds: [person, service]
    justification: everybody on this machine
    grant:
      backend: orders
      role: %s
      classes: [%s]
      tags: [%s]
      replication: physical
`, GroupServices, LabDatabase, LabRole, strings.Join(statement.ClassNames(), ", "), strings.Join(statement.TagNames(), ", "))
	if err := os.WriteFile(filepath.Join(c.Dir, LabRole+".password"), []byte(LabPassword), 0o600); err != nil {
		panic(err) // the directory is the site's own
	}
}

// SetupLab makes the lab's role and database.
func (s *Site) SetupLab(ctx context.Context) error {
	for _, sql := range []string{
		fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB REPLICATION PASSWORD '%s'", LabRole, LabPassword),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", LabDatabase, LabRole),
	} {
		if err := s.Postgres.Exec(ctx, "postgres", sql); err != nil {
			return err
		}
	}
	return nil
}

// LabDirect and LabProxied are connection strings for the same role, directly and
// through the proxy.
func (s *Site) LabDirect() string { return s.Postgres.DSN(LabRole, LabPassword, LabDatabase) }

// LabProxied is LabDirect through the proxy.
func (s *Site) LabProxied() string { return s.DSN("svc-orders", OrdersPassword, LabDatabase) }

// NewSite starts a site of the test's own, with the lab.
func NewSite(tb testing.TB, fill func(*SiteConfig)) *Site {
	tb.Helper()
	s, err := newSite(tb.Context(), fill)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(s.LogTail())
		}
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func newSite(ctx context.Context, fill func(*SiteConfig)) (*Site, error) {
	s, err := StartSite(ctx, "", SiteOptions{Fill: func(c *SiteConfig) {
		WithLab(c)
		if fill != nil {
			fill(c)
		}
	}})
	if err != nil {
		return nil, err
	}
	if err := s.SetupLab(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", err, s.Stop())
	}
	return s, nil
}

// SharedSite returns the site that all tests of the package share. The package
// needs Main.
func SharedSite(tb testing.TB) *Site {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	needMain(tb)
	if shared.site == nil {
		// Not the test's context: the site outlives it.
		s, err := newSite(context.Background(), nil)
		if err != nil {
			tb.Fatal(err)
		}
		shared.site = s
	}
	return shared.site
}
