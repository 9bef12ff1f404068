package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/proxy/services"
)

// The rules of the services' site, each with a database of its own.
const (
	forServices = "postgres"          // kinds: [service]
	forPeople   = "template1"         // no kinds
	forOne      = testkit.LabDatabase // named by svc-ruled
	desk        = testkit.LabRole     // what all of them give
)

// declared are the services of the site, beside svc-orders.
func declared(day func(int) string) map[string]string {
	return map[string]string{
		"svc-old":    "owner: bob, expires: " + day(-1),
		"svc-late":   "owner: bob, expires: " + day(5),
		"svc-far":    "owner: bob, sources: [10.0.0.0/8]",
		"svc-card":   "owner: bob, methods: [certificate]",
		"svc-ruled":  "owner: bob, rules: [" + forOne + "]",
		"svc-orphan": "owner: boss, owner_grace: 1s",
		"svc-kept":   "owner: boss, owner_gone: warn, owner_grace: 0s",
		"heidi":      "owner: bob, password_max_age: 365d", // hers is older
	}
}

func day(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }

// withServices declares them, but for what change makes of them.
func withServices(c *testkit.SiteConfig, change map[string]string) {
	c.Recheck, c.ExtraServices, c.ExtraRules = "1s", "", ""
	for account, terms := range declared(day) {
		if other, there := change[account]; there {
			terms = other
		}
		c.ExtraServices += fmt.Sprintf("\n  - {account: %s, purpose: a test, %s}", account, terms)
	}
	for _, database := range []string{forServices, forPeople, forOne} {
		c.ExtraRules += rule(database, testkit.GroupReaders, desk, database, "{}")
	}
	c.ExtraRules = strings.Replace(c.ExtraRules, "[postgres]\n", "[postgres]\n    kinds: [service]\n", 1)
}

// servicesSite has accounts that are nobody's in order.
func servicesSite(t *testing.T) *testkit.Site {
	t.Helper()
	s := testkit.NewSite(t, nil)
	hire(t, s, "boss")
	hire(t, s, "human", testkit.GroupReaders)
	for account := range declared(day) {
		if account != "heidi" {
			hire(t, s, account, testkit.GroupReaders)
		}
	}
	must(t, s.Controller.SetAttribute(t.Context(), "heidi", "userAccountControl", "66048")) // a password that does not expire
	must(t, s.WriteConfig(func(c *testkit.SiteConfig) { withServices(c, nil) }))
	must(t, reload(t, s))
	return s
}

// shut expects a log-in that is refused like any other, for a cause on record.
func shut(t *testing.T, s *testkit.Site, account, password, database, cause string) {
	t.Helper()
	_, err := pgconn.Connect(t.Context(), s.DSN(account, password, database))
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "28P01" {
		t.Fatalf("%s at %s: %v", account, database, err)
	}
	r := s.Await(t, "the refusal", func(r *journal.Record) bool { return r.Incident != "" && strings.Contains(e.Detail, r.Incident) })
	if r.Cause != cause || r.Principal.Account != account {
		t.Errorf("%s at %s: recorded of %s as %s: %s", account, database, r.Principal.Account, r.Cause, r.Detail)
	}
}

// ofService finds what was told of a service.
func ofService(cause, account string) func(*journal.Record) bool {
	return func(r *journal.Record) bool {
		return r.Type == audit.Account && r.Cause == cause && r.Principal.Account == account
	}
}

// once expects that something was told of a service once.
func once(t *testing.T, s *testkit.Site, cause, account string) {
	t.Helper()
	if all, err := s.Records(ofService(cause, account)); err != nil || len(all) != 1 {
		t.Errorf("%s of %s: %d times, %v", cause, account, len(all), err)
	}
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, testkit.WaitFor(ctx, try))
}

// identities lists the services, when the proxy has looked at them.
func identities(t *testing.T, s *testkit.Site) map[string]services.Status {
	t.Helper()
	byAccount := make(map[string]services.Status)
	eventually(t, func() error {
		said, err := operate(t, s, "identities", "--as-json")
		if err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		var list []services.Status
		if err := json.Unmarshal([]byte(said), &list); err != nil {
			return err
		}
		if len(list) == 0 {
			return errors.New("it has not looked at any yet")
		}
		for _, s := range list {
			byAccount[s.Account] = s
		}
		return nil
	})
	return byAccount
}

// TestServices: what services are declared with holds, at log-ins and under live
// sessions, over crashes of the proxy.
func TestServices(t *testing.T) {
	t.Parallel()
	s := servicesSite(t)
	shut(t, s, "svc-old", password, forServices, "service_expired")
	shut(t, s, "svc-far", password, forServices, "service_source")
	shut(t, s, "svc-card", password, forServices, "service_method")
	shut(t, s, "heidi", testkit.HeidiPassword, forServices, "service_password_too_old")
	shut(t, s, "svc-ruled", password, forServices, "no_matching_rule")
	shut(t, s, "svc-late", password, forPeople, "no_matching_rule")
	shut(t, s, "human", password, forServices, "no_matching_rule")
	shut(t, s, "human", password, forOne, "no_matching_rule")
	enter(t, s, "svc-ruled", forOne).do("SELECT 1")
	enter(t, s, "human", forPeople).do("SELECT 1")

	enter(t, s, "svc-late", forServices).do("SELECT 1")
	if r := s.Await(t, "the warning", ofService("service_expires", "svc-late")); !strings.Contains(r.Detail, "in 6 days") {
		t.Errorf("warned: %s", r.Detail)
	}
	orphan, kept := enter(t, s, "svc-orphan", forServices), enter(t, s, "svc-kept", forServices)
	must(t, s.Controller.Disable(t.Context(), "boss"))
	orphan.gone("service_quarantined")
	for _, account := range []string{"svc-orphan", "svc-kept"} {
		if r := s.Await(t, "the warning", ofService("owner_gone", account)); r.Decision != audit.Allowed || !strings.Contains(r.Detail, "boss") || !strings.Contains(r.Detail, "disabled") {
			t.Errorf("warned: %s", r.Detail)
		}
	}
	shut(t, s, "svc-orphan", password, forServices, "service_quarantined")
	kept.do("SELECT 1")

	// Whoever gets the name of an owner who left is not the owner.
	must(t, s.Controller.Delete(t.Context(), "boss"))
	hire(t, s, "boss")
	must(t, s.KillProxy())
	must(t, s.StartProxy(t.Context()))
	shut(t, s, "svc-orphan", password, forServices, "service_quarantined")
	list := identities(t, s)
	if x := list["svc-orphan"]; x.State != "quarantined" || x.OwnerState != "no_such_account" || x.OwnerGone == nil {
		t.Errorf("%+v", x)
	}
	if x := list["svc-late"]; x.State != "in_good_order" || x.OwnerState != "in_good_order" || x.DaysLeft == nil || *x.DaysLeft != 6 || x.LastUse == nil {
		t.Errorf("%+v", x)
	}
	if x := list["svc-old"]; x.State != "service_expired" || *x.DaysLeft != 0 || x.LastUse != nil {
		t.Errorf("%+v", x)
	}
	mustOperate(t, s, "no such account", "identities")

	// The quarantine is the account's, also when another one gets its name.
	must(t, s.Controller.Rename(t.Context(), "svc-orphan", "renamed"))
	hire(t, s, "svc-orphan", testkit.GroupReaders)
	eventually(t, func() error {
		conn, err := pgconn.Connect(t.Context(), s.DSN("svc-orphan", password, forServices))
		if err == nil {
			return cmp.Or(conn.Close(t.Context()), errors.New("the new one is not found yet"))
		}
		return nil
	})
	shut(t, s, "renamed", password, forPeople, "service_quarantined")
	must(t, s.KillProxy())
	must(t, s.StartProxy(t.Context()))
	shut(t, s, "renamed", password, forPeople, "service_quarantined")

	// What a reload says of a service waits for no controller.
	late := enter(t, s, "svc-late", forServices)
	must(t, s.Controller.Freeze())
	must(t, s.WriteConfig(func(c *testkit.SiteConfig) {
		withServices(c, map[string]string{"svc-late": "owner: bob, expires: " + day(-1), "svc-orphan": "owner: bob"})
	}))
	must(t, reload(t, s))
	late.gone("service_expired")
	must(t, s.Controller.Thaw())
	s.Await(t, "the release", ofService("service_released", "svc-orphan"))
	eventually(t, func() error {
		conn, err := pgconn.Connect(t.Context(), s.DSN("svc-orphan", password, forServices))
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	})
	once(t, s, "service_expires", "svc-late")
	once(t, s, "owner_gone", "svc-orphan")

	must(t, s.StopProxy())
	must(t, os.WriteFile(filepath.Join(s.Journal, "control", "services.json"), []byte(`{"svc-or`), 0o600))
	if said, err := operate(t, s, "serve"); err == nil || !strings.Contains(said, "nobody knows which services are in quarantine") {
		t.Errorf("%v: %s", err, said)
	}
}
