package auth

import (
	"net/netip"
	"testing"
)

func TestSelector(t *testing.T) {
	x := &Subject{
		Identity: &Identity{Account: "alice", UPN: "alice@corp.example.com", Domain: "corp.internal", SID: "S-1-5-21-1", GUID: "0102"},
		Role:     "app_ro", Database: "orders", Session: "abc", Source: netip.MustParseAddr("::ffff:10.1.2.3"),
	}
	for _, c := range []struct {
		selector Selector
		matches  bool
	}{
		{Selector{}, false},
		{Selector{All: true}, true},
		{Selector{All: true, User: "alice"}, false}, // which of them?
		{Selector{User: "ALICE"}, true},
		{Selector{User: "alice@CORP.example.com"}, true},
		{Selector{User: "alice@corp.internal"}, true}, // as each account may call itself, beside its UPN
		{Selector{User: "alice@corp"}, false},
		{Selector{User: "S-1-5-21-1"}, true},
		{Selector{User: "renamed", SID: "S-1-5-21-1"}, true},
		{Selector{User: "bob", SID: "S-1-5-21-2"}, false},
		{Selector{Role: "app_ro", Database: "orders"}, true},
		{Selector{Role: "app_ro", Database: "other"}, false},
		{Selector{Source: "10.1.2.3"}, true},
		{Selector{Source: "10.1.0.0/16"}, true},
		{Selector{Source: "10.2.0.0/16"}, false},
		{Selector{Source: "::ffff:10.1.0.0/112"}, true},
		{Selector{Source: "::ffff:10.2.0.0/112"}, false},
		{Selector{Source: "::/0"}, false},
		{Selector{Source: "10.1.2"}, false},
		{Selector{Source: "fe80::1%eth0"}, false},
		{Selector{Session: "abc"}, true},
		{Selector{Session: "ab"}, false},
	} {
		if got := c.selector.Matches(x); got != c.matches {
			t.Errorf("%+v: %v", c.selector, got)
		}
	}
	near := &Subject{Source: netip.MustParseAddr("fe80::1%eth0")}
	for _, source := range []string{"fe80::1", "fe80::/10"} {
		if s := (Selector{Source: source}); !s.Matches(near) {
			t.Errorf("%s does not hold %s", source, near.Source)
		}
	}
	for want, s := range map[string]Selector{
		`--user=CORP\alice --source=10.1.0.0/16`:     {User: `CORP\alice`, Source: "10.1.0.0/16"},
		`--user="alice --source=10.1.0.0/16"`:        {User: "alice --source=10.1.0.0/16"},
		`--user="\"alice\"" --database="the orders"`: {User: `"alice"`, Database: "the orders"},
	} {
		if got := s.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if (&Selector{Source: "nowhere", User: "alice"}).Check() == nil || (&Selector{}).Check() == nil {
		t.Error("a selector that is none is let through")
	}
}
