package testkit

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// AuditDatabase is the database of a site with SiteOptions.Audit that the record
// is delivered to, by the sink AuditSink.
const (
	AuditDatabase = "audit"
	AuditSink     = "auditdb"
)

// auditRoles are the roles of the audit database that log in, with their passwords.
func auditRoles() map[string]string {
	return map[string]string{"audit_writer": "writes-1415-Records", "audit_reader": "reads-9265-Records"}
}

// setupAudit makes the database, its schema as an administrator would, and lets
// the readers' role log in: the proxy does so for whom the rules let.
func (s *Site) setupAudit(ctx context.Context) error {
	if err := s.Postgres.Exec(ctx, "postgres", "CREATE DATABASE "+AuditDatabase); err != nil {
		return err
	}
	made := exec.CommandContext(ctx, s.Binary, "audit", "init", "--config", s.ConfigFile, "--host", s.Postgres.Dir)
	if err := run(made); err != nil {
		return err
	}
	return s.Postgres.Exec(ctx, "postgres", fmt.Sprintf(`
		REVOKE ALL ON DATABASE %[1]s FROM PUBLIC;
		GRANT CONNECT ON DATABASE %[1]s TO audit_writer, audit_reader;
		ALTER ROLE audit_reader LOGIN PASSWORD '%[2]s'`, AuditDatabase, auditRoles()["audit_reader"]))
}

// AuditDirect is a connection string for the readers' role at the audit database
// itself, past the proxy.
func (s *Site) AuditDirect() string {
	return s.Postgres.DSN("audit_reader", auditRoles()["audit_reader"], AuditDatabase)
}

// AwaitDelivery waits until the audit database has everything that the proxy has
// recorded so far.
func (s *Site) AwaitDelivery(ctx context.Context) error {
	waits := fmt.Sprintf("pgcustos_sink_lag_records{sink=%q} ", AuditSink)
	return WaitFor(ctx, func() error {
		var metrics strings.Builder
		if err := s.Get(ctx, "/metrics", &metrics); err != nil {
			return err
		}
		_, lag, found := strings.Cut(metrics.String(), waits)
		if lag, _, _ = strings.Cut(lag, "\n"); !found || lag != "0" {
			return fmt.Errorf("the sink is %q records behind", lag)
		}
		return nil
	})
}
