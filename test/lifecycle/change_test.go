package lifecycle

import (
	"context"
	"errors"
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

// TestInvariant10Changes makes each change under a session that runs a statement in
// a transaction, and under an idle one: both end, and nothing of the transaction
// stays.
func TestInvariant10Changes(t *testing.T) {
	t.Parallel()
	s := site(t)
	dc := s.Controller
	for name, c := range map[string]struct {
		change func(ctx context.Context, account string) error
		cause  string
	}{
		"disabled": {dc.Disable, "disabled"},
		"deleted":  {dc.Delete, "deleted"},
		"expired": {func(ctx context.Context, a string) error {
			return dc.SetExpiry(ctx, a, time.Now().Add(2*time.Second)) // and not a moment before
		}, "account_expired"},
		"locked": {dc.LockOut, "locked_out"},
		"reset": {func(ctx context.Context, a string) error {
			return dc.SetPassword(ctx, a, "An0ther-passw0rd")
		}, "password_reset"},
		"carded": {func(ctx context.Context, a string) error {
			return dc.SetAttribute(ctx, a, "userAccountControl", "262656") // SMARTCARD_REQUIRED, NORMAL_ACCOUNT
		}, "account_restricted"},
		"left": {func(ctx context.Context, a string) error {
			return dc.RemoveFromGroup(ctx, a, group("strict"))
		}, "no_matching_rule"},
		"moved": {func(ctx context.Context, a string) error {
			return dc.AddToGroup(ctx, a, "Fallback") // which alone is no reason
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hire(t, s, name, group("strict"))
			idle, busy := enter(t, s, name, "strict"), enter(t, s, name, "strict").begin("t_"+name)
			must(t, c.change(t.Context(), name))
			if c.cause == "" {
				idle.do("SELECT 1")
				return
			}
			idle.gone(c.cause)
			busy.gone(c.cause)
			if n := rows(t, s, "strict", "t_"+name); n != "0" {
				t.Errorf("%s rows stayed", n)
			}
		})
	}
}

// TestNested: what happens to a group that an account is in by way of others.
func TestNested(t *testing.T) {
	t.Parallel()
	s := site(t)
	dc, ctx := s.Controller, t.Context()
	for name, change := range map[string]func() error{
		"unnested": func() error { return dc.RemoveFromGroup(ctx, "mid-unnested", group("lenient")) },
		"dropped":  func() error { return dc.Delete(ctx, "mid-dropped") },
		"emptied":  func() error { return dc.RemoveFromGroup(ctx, "low-emptied", "mid-emptied") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			low, mid := "low-"+name, "mid-"+name
			must(t, dc.CreateGroup(ctx, low))
			must(t, dc.CreateGroup(ctx, mid))
			must(t, dc.AddToGroup(ctx, low, mid))
			must(t, dc.AddToGroup(ctx, mid, group("lenient")))
			hire(t, s, name, low)
			x := enter(t, s, name, "lenient")
			must(t, change())
			x.gone("no_matching_rule")
		})
	}
}

// TestLenient: what a rule leaves alone, and what is nothing to a session.
func TestLenient(t *testing.T) {
	t.Parallel()
	s := site(t)
	dc, ctx := s.Controller, t.Context()
	hire(t, s, "lenient", group("lenient"))
	x := enter(t, s, "lenient", "lenient")
	must(t, dc.LockOut(ctx, "lenient"))
	must(t, dc.SetPassword(ctx, "lenient", "An0ther-passw0rd"))
	must(t, dc.Move(ctx, "lenient", "Services"))
	must(t, dc.Rename(ctx, "lenient", "indulgent"))
	r := s.Await(t, "the new name", func(r *journal.Record) bool {
		return r.Type == audit.Account && r.Cause == "renamed" && r.Principal.UPN == "indulgent@"+testkit.Domain
	})
	all, err := s.Records(func(q *journal.Record) bool { return q.Type == audit.Account && q.Session == r.Session })
	must(t, err)
	said := ""
	for _, q := range all {
		said += q.Detail
	}
	for _, want := range []string{`account "lenient" is "indulgent" now`, `upn "lenient@corp.example.com" is "indulgent@corp.example.com" now`, "OU=Services"} {
		if !strings.Contains(said, want) {
			t.Errorf("no record says %s: %s", want, said)
		}
	}
	x.do("SELECT 1")
}

// TestNarrow: another role is waiting. The rule lets a transaction come to its end,
// under the role that it has, and then ends the session.
func TestNarrow(t *testing.T) {
	t.Parallel()
	s := site(t)
	hire(t, s, "narrow", group("narrow"), "Fallback")
	x, idle := enter(t, s, "narrow", "narrow"), enter(t, s, "narrow", "narrow")
	x.do("CREATE TABLE narrowed (n int)")
	x.do("BEGIN")
	must(t, s.Controller.RemoveFromGroup(t.Context(), "narrow", group("narrow")))
	if r := idle.gone("another_grant"); !strings.Contains(r.Detail, "app_ro_orders") {
		t.Errorf("recorded: %s", r.Detail)
	}
	x.do("INSERT INTO narrowed VALUES (1)")
	x.do("COMMIT")
	x.gone("another_grant")
	if n := rows(t, s, "narrow", "narrowed"); n != "1" {
		t.Errorf("the transaction left %s rows", n)
	}
	enter(t, s, "narrow", "narrow").do("SELECT 1")
}

// TestTicketEnds: a session that a ticket opened ends with the ticket.
func TestTicketEnds(t *testing.T) {
	t.Parallel()
	s := site(t)
	hire(t, s, "ticket", group("lenient"))
	tickets, err := s.Controller.Kinit(t.Context(), filepath.Join(t.TempDir(), "tickets"), "ticket", password, "-l", "15s", "-S", testkit.ProxyPrincipal)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), "psql", s.TicketDSN("ticket", "lenient"), "-XAtw", "-c", "SELECT pg_sleep(600)", "-c", "SELECT 1")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, tickets.Environment...)
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "withdrawn") || !strings.Contains(string(said), "ticket expired") {
		t.Fatalf("%v: %s", err, said)
	}
	r := s.Await(t, "the revocation", func(r *journal.Record) bool { return r.Type == audit.Revocation && r.Principal.Account == "ticket" })
	if r.Cause != "ticket_expired" || r.Method != "kerberos" {
		t.Errorf("recorded as %s by %s", r.Cause, r.Method)
	}
}

// TestSilence: no controller answers. New log-ins are refused, those who are in go
// on for as long as their rule says, and not longer.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.ExtraRules += rule("silent", testkit.GroupReaders, testkit.LabRole, testkit.LabDatabase, "{directory_silent: 5s}") +
			rule("patient", testkit.GroupReaders, testkit.LabRole, "postgres", "{}")
	})
	hire(t, s, "silent", testkit.GroupReaders)
	patient, silent := enter(t, s, "silent", "postgres"), enter(t, s, "silent", testkit.LabDatabase).begin("t_silent")
	must(t, s.Controller.Freeze())
	silent.gone("directory_unavailable")
	_, err := pgconn.Connect(t.Context(), s.DSN("silent", password, "postgres"))
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "57P03" {
		t.Errorf("a log-in: %v", err)
	}
	patient.do("SELECT 1")
	must(t, s.Controller.Thaw())
	// What happened meanwhile is noticed, too.
	must(t, s.Controller.Kill())
	patient.do("SELECT 1")
	must(t, s.Controller.Start(t.Context()))
	must(t, s.Controller.Disable(t.Context(), "silent"))
	patient.gone("disabled")
}
