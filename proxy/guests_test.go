package proxy

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/telemetry"
	"github.com/pgcustos/pgcustos/proxy/driver"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// silences watches nobody, and knows which domains are silent.
type silences struct {
	auth.Watcher
	of map[string]time.Duration
}

func (s silences) Silent(domain string) time.Duration { return s.of[domain] }

const corp, other = "corp.example.com", "other.example"

// newcomers is a server of two domains, of which each has a rule.
func newcomers(silent map[string]time.Duration) *Server {
	rule := func(group string) rules.Rule {
		return rules.Rule{
			Name: "for " + group, Groups: []string{group}, Databases: []string{"*"}, Sources: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
			Grant: auth.Grant{Backend: "db", Role: strings.ToLower(group), Changes: auth.Changes{AnotherGrant: auth.Terminate, SilentPerson: time.Hour}},
		}
	}
	return New(Options{
		Log: slog.New(slog.DiscardHandler), Metrics: telemetry.New(),
		Policy: Policy{Watcher: silences{of: silent}, Rules: rules.New([]rules.Rule{rule("Staff"), rule(`OTHER\Desk`)})},
	})
}

// enter has an account with these groups in session.
func (s *Server) enter(t *testing.T, id auth.Identity, groups ...auth.Group) *session {
	t.Helper()
	id.Kind, id.Groups = auth.Person, groups
	c := &session{
		server: s, policy: s.policy.Load(), relay: driver.New(driver.Options{}), machine: relay.New(relay.Options{}), hello: &startup.Hello{Request: &startup.Request{}}, started: time.Now(),
		request: auth.Request{Database: "orders", Source: netip.MustParseAddr("10.0.0.1"), Method: auth.Password},
	}
	c.identify(id)
	g, err := c.policy.Rules.Choose(c.identity, c.request)
	if err != nil {
		t.Fatal(err)
	}
	c.grant.Store(g)
	s.sessions[c] = struct{}{}
	s.enliven(c)
	return c
}

var (
	staff = auth.Group{Name: "Staff", SID: "S-1-5-21-1-2-3-1105", Domain: corp}
	desk  = auth.Group{Name: `OTHER\Desk`, SID: "S-1-5-21-4-5-6-1105", Domain: other}
)

func ended(c *session) string {
	if r := c.revoked.Load(); r != nil {
		return string(r.cause)
	}
	return ""
}

// TestForgedGUID: a domain that gives an account the GUID of another domain's reaches
// none of that one's sessions.
func TestForgedGUID(t *testing.T) {
	s := newcomers(nil)
	alice := s.enter(t, auth.Identity{Account: "alice", Domain: corp, SID: "S-1-5-21-1-2-3-1104", GUID: "g"}, staff)
	evil := s.enter(t, auth.Identity{Account: "alice", Domain: other, SID: "S-1-5-21-4-5-6-1104", GUID: "g", NetBIOS: "OTHER", Qualified: true}, desk)
	if n := len(s.Accounts()); n != 2 {
		t.Fatalf("%d accounts are in session", n)
	}
	now := evil.currentIdentity()
	now.Expires = time.Now().Add(time.Hour)
	s.Changed(auth.Change{Key: now.Key(), Now: now})
	if id := alice.currentIdentity(); !id.Expires.IsZero() || id.Domain != corp || ended(alice) != "" {
		t.Errorf("alice is %+v, ended for %q", id, ended(alice))
	}
	s.Changed(auth.Change{Key: now.Key(), Err: &auth.Failure{Cause: auth.CauseNoSuchAccount}})
	if ended(alice) != "" || ended(evil) != "deleted" {
		t.Errorf("ended: alice for %q, her namesake for %q", ended(alice), ended(evil))
	}
	if got := s.Live(&auth.Selector{User: "alice"}); len(got) != 1 || got[0].Domain != corp {
		t.Errorf("alice is %+v", got)
	}
	if got := s.Live(&auth.Selector{User: `OTHER\alice`}); len(got) != 1 || got[0].Domain != other {
		t.Errorf("the namesake is %+v", got)
	}
}

// TestPartsOfAnAccount: each domain tells of its own part, and none brings back what
// another has taken away.
func TestPartsOfAnAccount(t *testing.T) {
	s := newcomers(nil)
	c := s.enter(t, auth.Identity{Account: "alice", Domain: corp, GUID: "g", Unheard: []string{other}}, staff)
	has := func(want ...string) {
		t.Helper()
		var got []string
		for _, g := range c.currentIdentity().Groups {
			got = append(got, g.Name)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("in %v, want %v", got, want)
		}
	}
	id := c.currentIdentity()
	c.confirmed.Store(-1)
	s.Changed(auth.Change{Key: id.Key(), Guest: other, Now: auth.Identity{Groups: []auth.Group{desk}}})
	has("Staff", `OTHER\Desk`)
	if unheard := c.currentIdentity().Unheard; len(unheard) > 0 || c.confirmed.Load() != -1 {
		t.Errorf("unheard %v, confirmed %d: another domain cannot confirm an account", unheard, c.confirmed.Load())
	}
	s.Changed(auth.Change{Key: id.Key(), Now: id}) // read before OTHER told
	has("Staff", `OTHER\Desk`)
	s.Changed(auth.Change{Key: id.Key(), Guest: other})
	has("Staff")
	s.Changed(auth.Change{Key: id.Key(), Now: id})
	has("Staff")
	if ended(c) != "" {
		t.Errorf("ended for %q", ended(c))
	}
	id.Groups = nil
	s.Changed(auth.Change{Key: id.Key(), Now: id})
	if ended(c) != "no_matching_rule" {
		t.Errorf("ended for %q", ended(c))
	}
}

// TestSilentDomain: when a domain has been silent for longer than the rule goes on for,
// sessions end that rest on its groups, and no others.
func TestSilentDomain(t *testing.T) {
	silent := map[string]time.Duration{other: time.Minute}
	s := newcomers(silent)
	guest := s.enter(t, auth.Identity{Account: "guest", Domain: corp, GUID: "1"}, desk)
	both := s.enter(t, auth.Identity{Account: "both", Domain: corp, GUID: "2"}, staff, desk)
	for _, c := range []*session{guest, both} {
		c.keepGuest()
		if left := c.leisure(s.now()); ended(c) != "" || left > horizon {
			t.Errorf("ended for %q, looked at in %s", ended(c), left)
		}
	}
	silent[other] = time.Hour - time.Second
	if left := guest.leisure(s.now()); left > time.Second {
		t.Errorf("looked at in %s", left)
	}
	silent[other] = 2 * time.Hour
	for _, c := range []*session{guest, both} {
		c.keepGuest()
	}
	if ended(guest) != "no_matching_rule" || !strings.Contains(guest.revoked.Load().detail, "groups of other.example are missing") {
		t.Errorf("the guest's session ended for %q: %+v", ended(guest), guest.revoked.Load())
	}
	if id := both.currentIdentity(); ended(both) != "" || len(id.Groups) != 1 || len(id.Unheard) != 1 {
		t.Errorf("ended for %q, in %v", ended(both), id.Groups)
	}
}
