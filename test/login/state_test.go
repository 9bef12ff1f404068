package login

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestStates: whatever keeps an account out, its owner hears the same, under every
// form of the name; the help desk finds the cause, and the account, by the incident.
func TestStates(t *testing.T) {
	t.Parallel()
	s := site(t)
	told := map[string]bool{}
	for _, c := range []struct {
		account, password string
		cause             auth.Cause
	}{
		{"dave", testkit.DavePassword, auth.CauseDisabled},
		{"erin", testkit.ErinPassword, auth.CauseAccountExpired},
		{"frank", testkit.FrankPassword, auth.CauseMustChange},
		{"grace", testkit.GracePassword, auth.CauseLockedOut},
		{"heidi", testkit.HeidiPassword, auth.CausePasswordExpired},
		{"carol", testkit.CarolPassword, auth.CauseNoMatchingRule},
		{"nobody", "Whatever-1t-is", auth.CauseNoSuchAccount},
	} {
		for _, name := range []string{c.account, strings.ToUpper(c.account) + "@corp.example.com", `corp\` + c.account} {
			_, err := connectFrom(t, s, "127.23.0.1", name, c.password)
			var e *pgconn.PgError
			if !errors.As(err, &e) {
				t.Fatalf("%s: %v", name, err)
			}
			told[e.Severity+e.Code+strings.ReplaceAll(e.Message, name, "NAME")+e.Hint] = true
			id := incidents.FindStringSubmatch(e.Detail)
			if id == nil {
				t.Fatalf("%s: no incident: %s", name, e.Detail)
			}
			r := s.Await(t, "it", func(r *journal.Record) bool { return r.Incident == id[1] })
			account := c.account
			if c.cause == auth.CauseNoSuchAccount {
				account = ""
			}
			if r.Cause != string(c.cause) || r.Principal.Account != account || r.User != name || r.Decision != audit.Denied {
				t.Errorf("%s: recorded as %s of %q, claimed %q: %s", name, r.Cause, r.Principal.Account, r.User, r.Detail)
			}
		}
	}
	if len(told) != 1 {
		t.Errorf("they are told different things: %v", told)
	}
}
