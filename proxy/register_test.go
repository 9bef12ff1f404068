package proxy

import (
	"testing"

	"github.com/pgcustos/pgcustos/auth"
)

// TestRegister: the list of accounts is made anew when a session comes, goes or reads its
// account again, and only then.
func TestRegister(t *testing.T) {
	s := newcomers(nil)
	account := auth.Identity{Account: "alice", Domain: corp, SID: "S-1-5-21-1-2-3-1104", GUID: "a"}
	alice := s.enter(t, account, staff)
	first := s.Accounts()
	if again := s.Accounts(); len(first) != 1 || &again[0] != &first[0] {
		t.Errorf("nothing has happened, and there are %+v, then %+v", first, again)
	}
	account.Account, account.SID, account.GUID = "bob", "S-1-5-21-1-2-3-1105", "b"
	bob := s.enter(t, account, staff)
	if n := len(s.Accounts()); n != 2 {
		t.Errorf("bob came, and there are %d accounts", n)
	}
	now := alice.currentIdentity()
	now.USN = 7
	s.Changed(auth.Change{Key: now.Key(), Now: now})
	var seen bool
	for _, id := range s.Accounts() {
		seen = seen || id.USN == 7
	}
	if !seen {
		t.Error("alice's account was read again, and the list does not know")
	}
	s.deaden(bob)
	if n := len(s.Accounts()); n != 1 {
		t.Errorf("bob left, and there are %d accounts", n)
	}
}
