package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestTwoDomains: a proxy of one domain comes to know a second one. Its accounts of the
// same names are other people, its groups reach live sessions, and when it is away
// that is nothing to the first.
func TestTwoDomains(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, nil)
	other := testkit.NewController(t, testkit.Options{Other: true})
	ctx := t.Context()
	hire(t, s, "anna", testkit.GroupReaders)
	hire(t, s, "visitor")
	must(t, other.CreateUser(ctx, "anna", password, testkit.GroupReaders))
	must(t, other.CreateLocalGroup(ctx, "Desk"))
	sid, err := s.Controller.SID(ctx, "visitor")
	must(t, err)
	must(t, other.AddStranger(ctx, sid, "Desk"))

	keytab := filepath.Join(s.Dir, "both.keytab")
	for _, dc := range []*testkit.Controller{s.Controller, other} {
		must(t, dc.ExportKeytab(ctx, keytab, testkit.ProxyPrincipal))
	}

	anna := enter(t, s, "anna", testkit.OrdersDatabase)
	denied(t, s, `OTHER\anna`, "no_such_account")
	var failed error
	must(t, s.WriteConfig(func(c *testkit.SiteConfig) {
		failed = s.WithOther(ctx, c, other)
		c.Kerberos = "kerberos: {keytab: both.keytab}"
		c.ExtraServices = `
  - {account: 'OTHER\svc-orders', owner: anna@other.example, purpose: "the same, elsewhere"}`
		c.ExtraRules += rule("others", `'OTHER\Desk'`, testkit.LabRole, testkit.LabDatabase, "{}")
	}))
	must(t, failed)
	must(t, reload(t, s))
	anna.do("SELECT 1")

	// The rules mean CORP's group.
	denied(t, s, `OTHER\anna`, "no_matching_rule")
	denied(t, s, "anna@evil.example", "unknown_domain")
	// A log-in waits for another domain's word for two seconds, and on a busy machine
	// perhaps in vain.
	eventually(t, func() error {
		conn, err := pgconn.Connect(ctx, s.DSN("visitor", password, testkit.LabDatabase))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	guest := enter(t, s, "visitor", testkit.LabDatabase)
	must(t, other.AddToGroup(ctx, "anna", "Desk"))
	namesake := enter(t, s, `OTHER\anna`, testkit.LabDatabase)
	r := s.Await(t, "the namesake's session", func(r *journal.Record) bool {
		return r.Type == audit.SessionStart && r.Principal.UPN == "anna@other.example"
	})
	if r.Principal.Account != `OTHER\anna` || r.Group != `OTHER\Desk` {
		t.Errorf("recorded of %q by %q", r.Principal.Account, r.Group)
	}
	mustOperate(t, s, `OTHER\anna`, "sessions")
	mustOperate(t, s, `others: chosen, through OTHER\Desk`, "explain", "--user", "anna@other.example", "--source", "127.0.0.1", "--database", testkit.LabDatabase)
	said, _ := operate(t, s, "check") // it fails for what the site's backend has not got
	for _, want := range []string{"of corp.example.com (CORP): answers", "of other.example (OTHER): answers", testkit.ProxyPrincipal + "@OTHER.EXAMPLE: is of account svc-pgcustos"} {
		if !strings.Contains(said, want) {
			t.Errorf("check without %q: %s", want, said)
		}
	}

	eventually(t, func() error {
		list := identities(t, s)
		here, there := list["svc-orders"], list[`OTHER\svc-orders`]
		if here.State != "in_good_order" || there.State != "in_good_order" || there.OwnerState != "in_good_order" || there.Domain != testkit.OtherDomain || here.SID == there.SID {
			return fmt.Errorf("%+v and %+v", here, there)
		}
		return nil
	})

	// The namesake's ticket opens her session, and not that of the other one.
	tickets, err := other.Kinit(ctx, filepath.Join(t.TempDir(), "tickets"), "anna", password)
	must(t, err)
	if said, err := psql(t, s, tickets, "anna@other.example", testkit.LabDatabase); err != nil || said != testkit.LabRole {
		t.Errorf("by ticket: %v, %s", err, said)
	}
	if said, err := psql(t, s, tickets, "anna", testkit.OrdersDatabase); err == nil {
		t.Errorf("by somebody else's ticket: %s", said)
	}
	s.Await(t, "the refusal", func(r *journal.Record) bool {
		return r.Cause == "identity_mismatch" && strings.HasPrefix(r.Detail, "the ticket is of anna@OTHER.EXAMPLE")
	})

	mustOperate(t, s, "1 session ended", "kill", "--user", "anna", "--reason", "whoever it is")
	anna.gone("killed")
	namesake.do("SELECT 1")
	if said, err := operate(t, s, "lock", "--user", `NOWHERE\anna`, "--reason", "x"); err == nil || !strings.Contains(said, "no domain is configured") {
		t.Errorf("a lock that chooses nobody: %v, %s", err, said)
	}
	mustOperate(t, s, "1 session ended", "lock", "--user", `other\anna`, "--reason", "INC-2")
	namesake.gone("locked")
	anna = enter(t, s, `corp\anna`, testkit.OrdersDatabase)

	must(t, other.RemoveStranger(ctx, sid, "Desk"))
	guest.gone("no_matching_rule")

	must(t, other.Freeze())
	denied(t, s, "oscar@other.example", "directory_unavailable")
	enter(t, s, "anna", testkit.OrdersDatabase).do("SELECT 1")
	anna.do("SELECT 1")
	eventually(t, func() error {
		var metrics, ready strings.Builder
		if err := errors.Join(s.Get(ctx, "/metrics", &metrics), s.Get(ctx, "/readyz", &ready)); err != nil {
			return err
		}
		if !strings.Contains(metrics.String(), `pgcustos_domain_up{domain="other.example"} 0`) ||
			!strings.Contains(metrics.String(), `pgcustos_domain_up{domain="corp.example.com"} 1`) || !strings.Contains(ready.String(), "the domain other.example") {
			return fmt.Errorf("ready: %s", ready.String())
		}
		return nil
	})
	must(t, other.Thaw())
	noTickets(t, s, other)
}

// noTickets reads a keytab without the key of before, and a configuration without Kerberos,
// which ends the sessions that such tickets opened, and no others.
func noTickets(t *testing.T, s *testkit.Site, other *testkit.Controller) {
	t.Helper()
	const renewed = "renewed-2718-Key"
	keytab := func(name string) {
		for _, dc := range []*testkit.Controller{s.Controller, other} {
			must(t, dc.ExportKeytab(t.Context(), filepath.Join(s.Dir, name), testkit.ProxyPrincipal))
		}
	}
	byPassword := enter(t, s, "anna", testkit.OrdersDatabase)
	ticketEnds(t, s, "ticket key unknown", func() {
		must(t, s.Controller.SetPassword(t.Context(), "svc-pgcustos", renewed))
		must(t, os.WriteFile(filepath.Join(s.Dir, "bind.password"), []byte(renewed), 0o600))
		keytab("renewed.keytab")
		must(t, s.WriteConfig(func(c *testkit.SiteConfig) { c.Kerberos = "kerberos: {keytab: renewed.keytab}" }))
	})
	byPassword.do("SELECT 1")
	ticketEnds(t, s, "method not allowed", func() {
		must(t, s.WriteConfig(func(c *testkit.SiteConfig) { c.Kerberos = "" }))
	})
	byPassword.do("SELECT 1")
}

// ticketEnds expects the session of a ticket to go on at a reload of what there is, and to end
// at that of what is written.
func ticketEnds(t *testing.T, s *testkit.Site, why string, write func()) {
	t.Helper()
	tickets, err := s.Controller.Kinit(t.Context(), filepath.Join(t.TempDir(), "tickets"), "anna", password)
	must(t, err)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "psql", s.TicketDSN("anna", testkit.OrdersDatabase), "-XAtw", "-c", "SELECT pg_sleep(600)", "-c", "SELECT 1")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, tickets.Environment...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	s.Await(t, "the ticket's session", func(r *journal.Record) bool {
		return r.Type == audit.Statement && r.Method == "kerberos" && r.Time.After(began)
	})
	must(t, reload(t, s))
	mustOperate(t, s, "active", "sessions")
	write()
	must(t, reload(t, s))
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), why) {
		t.Errorf("%v: %s", err, said.String())
	}
}

// psql says as whom it is in.
func psql(t *testing.T, s *testkit.Site, tickets testkit.Tickets, user, database string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "psql", s.TicketDSN(user, database), "-XAtw", "-c", "SELECT session_user")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, tickets.Environment...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// denied expects that a log-in is refused as every other, for a cause on record.
func denied(t *testing.T, s *testkit.Site, user, cause string) {
	t.Helper()
	_, err := pgconn.Connect(t.Context(), s.DSN(user, password, testkit.OrdersDatabase))
	var e *pgconn.PgError
	if !errors.As(err, &e) || cause != "directory_unavailable" && (e.Code != "28P01" || !strings.HasPrefix(e.Message, "authentication failed for user")) {
		t.Fatalf("%s: %v", user, err)
	}
	s.Await(t, user+": "+cause, func(r *journal.Record) bool { return r.User == user && r.Cause == cause })
}
