package lifecycle

import (
	"errors"
	"fmt"
	"strings"
	"testing"

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

	anna := enter(t, s, "anna", testkit.OrdersDatabase)
	denied(t, s, `OTHER\anna`, "no_such_account")
	var failed error
	must(t, s.WriteConfig(func(c *testkit.SiteConfig) {
		failed = s.WithOther(ctx, c, other)
		c.ExtraRules += rule("others", `'OTHER\Desk'`, testkit.LabRole, testkit.LabDatabase, "{}")
	}))
	must(t, failed)
	must(t, reload(t, s))
	anna.do("SELECT 1")

	// The rules mean CORP's group.
	denied(t, s, `OTHER\anna`, "no_matching_rule")
	denied(t, s, "anna@evil.example", "unknown_domain")
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
