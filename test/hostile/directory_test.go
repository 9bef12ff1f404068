package hostile

import (
	"context"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// slow is what takes no longer on a machine that has much else to do.
const slow = 5 * time.Second

// TestInvariant10DirectoryChange changes accounts and groups under live sessions:
// those that rest on them end within a re-reading.
func TestInvariant10DirectoryChange(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	const password = "Comes-and-G0es"
	dc := s.Controller
	if err := dc.CreateGroup(t.Context(), "Inner"); err != nil {
		t.Fatal(err)
	}
	if err := dc.AddToGroup(t.Context(), "Inner", testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	for account, c := range map[string]struct {
		change func(ctx context.Context, account string) error
		cause  string
	}{
		"disabled": {dc.Disable, "disabled"},
		"deleted":  {dc.Delete, "deleted"},
		"expired": {func(ctx context.Context, a string) error {
			return dc.SetExpiry(ctx, a, time.Now().Add(-time.Hour))
		}, "account_expired"},
		"left": {func(ctx context.Context, a string) error {
			return dc.RemoveFromGroup(ctx, a, testkit.GroupReaders)
		}, "no_matching_rule"},
	} {
		t.Run(account, func(t *testing.T) {
			if err := dc.CreateUser(t.Context(), account, password, testkit.GroupReaders); err != nil {
				t.Fatal(err)
			}
			enter := func() *client {
				return dialTLS(t, s).enter(startup("user", account, "database", testkit.OrdersDatabase), password)
			}
			idle, busy := enter(), enter()
			busy.write(query("SELECT pg_sleep(300) /* " + account + " */")...)
			running(t, s, "/* "+account, true)
			if err := c.change(t.Context(), account); err != nil {
				t.Fatal(err)
			}
			for _, x := range []*client{idle, busy} {
				r := x.revoked()
				if r.Cause != c.cause || r.Principal.Account != account {
					t.Errorf("recorded as %s of %s: %s", r.Cause, r.Principal.Account, r.Detail)
				}
			}
			running(t, s, "/* "+account, false)
		})
	}
	t.Run("nested group", func(t *testing.T) {
		if err := dc.CreateUser(t.Context(), "nested", password, "Inner"); err != nil {
			t.Fatal(err)
		}
		c := dialTLS(t, s).enter(startup("user", "nested", "database", testkit.OrdersDatabase), password)
		c.alive()
		if err := dc.RemoveFromGroup(t.Context(), "Inner", testkit.GroupReaders); err != nil {
			t.Fatal(err)
		}
		c.revoked()
	})
}

// TestInvariant3UniqueIdentity renames an account, and gives its name to another:
// a session is its account's, whatever that is called.
func TestInvariant3UniqueIdentity(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	const password = "Comes-and-G0es"
	dc := s.Controller
	if err := dc.CreateUser(t.Context(), "smith", password, testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	enter := func(name string) *client {
		return dialTLS(t, s).enter(startup("user", name, "database", testkit.OrdersDatabase), password)
	}
	old := enter("smith")
	was := old.session().Principal
	if err := dc.Rename(t.Context(), "smith", "jones"); err != nil {
		t.Fatal(err)
	}
	if err := dc.CreateUser(t.Context(), "smith", password, testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	rehired := enter("smith").session().Principal
	if rehired.GUID == was.GUID || rehired.SID == was.SID || rehired.Account != "smith" {
		t.Errorf("%+v is taken for %+v", rehired, was)
	}
	if renamed := enter("jones").session().Principal; renamed.GUID != was.GUID || renamed.SID != was.SID {
		t.Errorf("%+v is not taken for %+v", renamed, was)
	}
	// What happens to the new smith is nothing to the old session, and what happens
	// to the old smith ends it.
	if err := dc.Disable(t.Context(), "smith"); err != nil {
		t.Fatal(err)
	}
	await(t, s, "the revocation", func(r *journal.Record) bool { return r.Type == audit.Revocation && r.Principal.GUID == rehired.GUID })
	old.alive()
	if err := dc.Disable(t.Context(), "jones"); err != nil {
		t.Fatal(err)
	}
	if r := old.revoked(); r.Principal.GUID != was.GUID {
		t.Errorf("the revocation is recorded of %+v", r.Principal)
	}
}
