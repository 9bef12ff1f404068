package login

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

const (
	byPassword = "PGOPTIONS=-c pgcustos.auth=password"
	byTicket   = "PGOPTIONS=-c pgcustos.auth=kerberos"
)

// TestTicket: alice holds a ticket, types nothing, and is alice.
func TestTicket(t *testing.T) {
	t.Parallel()
	s := site(t)
	alice := holder(t, s, "alice", testkit.AlicePassword)
	for _, name := range []string{"alice", "ALICE", "alice@corp.example.com", `CORP\\alice`} {
		r := alice.enters(name, testkit.OrdersDatabase)
		if r.Method != string(auth.Kerberos) || r.Principal.Account != "alice" || !strings.HasPrefix(r.Detail, "ticket of alice@"+testkit.Realm+" until ") {
			t.Errorf("%s: recorded as %s of %q: %s", name, r.Method, r.Principal.Account, r.Detail)
		}
	}
	alice.enters("alice", dbTicket)
	alice.enters("alice", dbPinned)
	// The ticket goes first, even where there would be a password, and a wrong one.
	if r := alice.enters("alice", testkit.OrdersDatabase, "PGPASSWORD=wrong"); r.Method != string(auth.Kerberos) {
		t.Errorf("recorded as %s", r.Method)
	}
	start := s.Await(t, "the session", func(r *journal.Record) bool { return r.Type == audit.SessionStart && r.Database == dbTicket })
	if start.Method != string(auth.Kerberos) {
		t.Errorf("the session's method is %s", start.Method)
	}
}

// TestTicketOfAnother: a service that the domain lets act for others is in as somebody who
// knows nothing of it, and the record has the service too.
func TestTicketOfAnother(t *testing.T) {
	t.Parallel()
	s := site(t)
	_, tickets, err := s.Controller.Impersonate(t.Context(), t.TempDir(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	web := &person{t: t, site: s, environment: tickets.Environment}
	if r := web.enters("alice", testkit.OrdersDatabase); r.Principal.Account != "alice" || !strings.HasSuffix(r.Detail, ", through "+testkit.WebAccount+"@"+testkit.Realm) {
		t.Errorf("recorded of %s: %s", r.Principal.Account, r.Detail)
	}
	web.refused(auth.CauseNoMatchingRule, "alice", dbAssured)
}

// TestChoice: who shows no ticket is asked for the password, and a pin or the
// client's own word decides otherwise.
func TestChoice(t *testing.T) {
	t.Parallel()
	s := site(t)
	const password = "PGPASSWORD=" + testkit.AlicePassword
	alice, nobody := holder(t, s, "alice", testkit.AlicePassword), somebody(t, s)
	for _, r := range []journal.Record{
		nobody.enters("alice", testkit.OrdersDatabase, password),
		alice.enters("alice", testkit.OrdersDatabase, password, byPassword),
		alice.enters("alice", testkit.OrdersDatabase, password, "PGGSSENCMODE=disable"),
		alice.enters("alice", dbPassword, password),
	} {
		if r.Method != string(auth.Password) {
			t.Errorf("recorded as %s", r.Method)
		}
	}
	// A rule that asks for a ticket is not met by a password, and nobody is told.
	if r := nobody.refused(auth.CauseNoMatchingRule, "alice", dbTicket, password); !strings.Contains(r.Detail, "method password is not among kerberos") {
		t.Errorf("recorded as %s", r.Detail)
	}
	for _, c := range []struct{ database, environment, want string }{
		{dbPassword, byTicket, "authentication by kerberos is not allowed here"},
		{dbPinned, byPassword, "authentication by password is not allowed here"},
		{testkit.OrdersDatabase, "PGOPTIONS=-c pgcustos.auth=trust", "there is no authentication method"},
	} {
		said, err := alice.psql("alice", c.database, c.environment, password)
		if err == nil || !strings.Contains(said, c.want) {
			t.Errorf("%v: %s", err, said)
		}
		alice.recorded(said, auth.CauseMethod)
	}
}

// TestPinnedByName: who is pinned to a way in has no other one by another form of the name.
func TestPinnedByName(t *testing.T) {
	t.Parallel()
	s := site(t)
	const account, password = "pinned down", "Comes-and-G0es"
	if err := s.Controller.CreateUser(t.Context(), account, password, testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	nobody := somebody(t, s)
	for _, name := range []string{account, `CORP\\` + account, account + "@corp.example.com"} {
		if said, err := nobody.psql(name, testkit.OrdersDatabase, "PGPASSWORD="+password); err == nil || !strings.Contains(said, "GSSAPI") {
			t.Errorf("%s: %v: %s", name, err, said)
		}
	}
	// The directory takes that for the account, too, which nobody knows before.
	const spaced = "pinned  down"
	if r := nobody.refused(auth.CauseMethod, spaced, testkit.OrdersDatabase, "PGPASSWORD="+password); r.Principal.Account != account {
		t.Errorf("recorded of %q: %s", r.Principal.Account, r.Detail)
	}
	nobody.enters(spaced, dbPassword, "PGPASSWORD="+password) // pinned before by another one
	holder(t, s, account, password).enters(`CORP\\`+account, testkit.OrdersDatabase)
}

// TestAssurance: a rule can ask for what only a ticket says of the log-on.
func TestAssurance(t *testing.T) {
	t.Parallel()
	s := site(t)
	alice := holder(t, s, "alice", testkit.AlicePassword)
	alice.enters("alice", dbAssured)
	if r := alice.refused(auth.CauseNoMatchingRule, "alice", dbCard); !strings.Contains(r.Detail, "the client's ticket has none of S-1-5-65-1") {
		t.Errorf("recorded as %s", r.Detail)
	}
	somebody(t, s).refused(auth.CauseNoMatchingRule, "alice", dbAssured, "PGPASSWORD="+testkit.AlicePassword)
}

// TestTicketFails: a ticket that does not do falls back to nothing. The client
// hears what everybody hears, although the right password is at hand.
func TestTicketFails(t *testing.T) {
	t.Parallel()
	s := site(t)
	alice := holder(t, s, "alice", testkit.AlicePassword)
	if r := alice.refused(auth.CauseIdentityMismatch, "bob", testkit.OrdersDatabase, "PGPASSWORD="+testkit.BobPassword); !strings.Contains(r.Detail, "the ticket is of alice@") || r.Principal.Account != "" {
		t.Errorf("recorded of %q: %s", r.Principal.Account, r.Detail)
	}
	if r := alice.refused(auth.CauseNoSuchAccount, "root", testkit.OrdersDatabase); !strings.Contains(r.Detail, "the ticket is of alice@") {
		t.Errorf("recorded as %s", r.Detail)
	}
	carol := holder(t, s, "carol", testkit.CarolPassword)
	carol.refused(auth.CauseNoMatchingRule, "carol", testkit.OrdersDatabase)
	// Who has no ticket and is asked for one goes away: libpq says why.
	nobody := somebody(t, s)
	if said, err := nobody.psql("alice", dbPinned, "PGPASSWORD="+testkit.AlicePassword); err == nil || !strings.Contains(said, "GSSAPI") {
		t.Errorf("%v: %s", err, said)
	}
	s.Await(t, "the silence", func(r *journal.Record) bool { return r.Cause == string(auth.CauseNoTicket) })
}

// TestTicketOutlivesAccount: a ticket says what was so when its holder logged on.
// State and groups are those of now.
func TestTicketOutlivesAccount(t *testing.T) {
	t.Parallel()
	s := site(t)
	dc, ctx := s.Controller, t.Context()
	const password = "Comes-and-G0es"
	for _, step := range []error{
		dc.CreateUser(ctx, "mover", password), dc.CreateUser(ctx, "leaver", password, testkit.GroupReaders),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	mover, leaver := holder(t, s, "mover", password), holder(t, s, "leaver", password)
	mover.refused(auth.CauseNoMatchingRule, "mover", testkit.OrdersDatabase)
	leaver.enters("leaver", testkit.OrdersDatabase)
	if err := dc.AddToGroup(ctx, "mover", testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	mover.enters("mover", testkit.OrdersDatabase)
	if err := dc.Disable(ctx, "leaver"); err != nil {
		t.Fatal(err)
	}
	if r := leaver.refused(auth.CauseDisabled, "leaver", testkit.OrdersDatabase); r.Principal.Account != "leaver" {
		t.Errorf("recorded of %q", r.Principal.Account)
	}
	// A new name is the same account; its old name is another's from now on.
	if err := dc.Rename(ctx, "mover", "moved"); err != nil {
		t.Fatal(err)
	}
	if r := mover.enters("moved", testkit.OrdersDatabase); r.Principal.Account != "moved" {
		t.Errorf("recorded of %q", r.Principal.Account)
	}
	if err := dc.CreateUser(ctx, "mover", password, testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	mover.refused(auth.CauseIdentityMismatch, "mover", testkit.OrdersDatabase)
}
