package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

var (
	readers = auth.Group{SID: "S-1-5-21-1-2-3-1105", Name: "APP-Orders-Readers", DN: "CN=APP-Orders-Readers,OU=Groups,DC=corp,DC=example,DC=com"}
	staff   = auth.Group{SID: "S-1-5-21-1-2-3-1106", Name: "Staff", DN: "CN=Staff,OU=Groups,DC=corp,DC=example,DC=com"}
	unnamed = auth.Group{SID: "S-1-5-32-545"}
)

func alice() auth.Identity {
	return auth.Identity{
		Account: "alice", UPN: "alice@corp.example.com", Domain: "corp.example.com", DN: "CN=Alice,DC=corp,DC=example,DC=com",
		SID: "S-1-5-21-1-2-3-1104", GUID: "01020304-0506-0708-090a-0b0c0d0e0f10", Kind: auth.Person,
		Groups: []auth.Group{staff, readers, unnamed},
	}
}

func request() auth.Request {
	return auth.Request{Database: "orders", Source: netip.MustParseAddr("10.1.2.3"), Method: auth.Password}
}

func networks(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// rule is one that alice's request meets.
func rule(name, role string) Rule {
	return Rule{
		Name: name, Groups: []string{readers.Name}, Databases: []string{"orders"}, Sources: networks("10.0.0.0/8"),
		Grant: auth.Grant{Backend: "db", Role: role, Classes: statement.Read, Mode: auth.Enforce, Durability: auth.DurableDisk},
	}
}

func with(change func(*Rule)) Rule {
	r := rule("r", "app_ro_orders")
	change(&r)
	return r
}

func cause(err error) auth.Cause {
	var f *auth.Failure
	if !errors.As(err, &f) {
		return auth.CauseNone
	}
	return f.Cause
}

// TestInvariant1DefaultDeny: nothing is allowed by an absent key, whatever a
// rule leaves out.
func TestInvariant1DefaultDeny(t *testing.T) {
	tests := []struct {
		name  string
		rules []Rule
	}{
		{"no rules", nil},
		{"an empty rule", []Rule{{}}},
		{"no groups", []Rule{with(func(r *Rule) { r.Groups = nil })}},
		{"an empty group name", []Rule{with(func(r *Rule) { r.Groups = []string{""} })}},
		{"an empty account name", []Rule{with(func(r *Rule) { r.Groups, r.Accounts = nil, []string{""} })}},
		{"no databases", []Rule{with(func(r *Rule) { r.Databases = nil })}},
		{"an empty database name", []Rule{with(func(r *Rule) { r.Databases = []string{""} })}},
		{"no sources", []Rule{with(func(r *Rule) { r.Sources = nil })}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, id := range []auth.Identity{alice(), {}, {Groups: []auth.Group{{}}}} {
				for _, req := range []auth.Request{request(), {}} {
					g, err := New(tt.rules).Choose(id, req)
					if g != nil || cause(err) != auth.CauseNoMatchingRule {
						t.Errorf("Choose(%q, %q) = %+v, %v", id.Account, req.Database, g, err)
					}
				}
			}
		})
	}
}

func TestConditions(t *testing.T) {
	tests := []struct {
		name  string
		rule  func(*Rule)
		req   func(*auth.Request)
		id    func(*auth.Identity)
		match bool
		group string
		why   string // of the first failed condition
	}{
		{name: "by name", match: true, group: readers.Name},
		{name: "by name, other case", rule: func(r *Rule) { r.Groups = []string{"app-orders-READERS"} }, match: true, group: readers.Name},
		{name: "by DN", rule: func(r *Rule) { r.Groups = []string{strings.ToLower(readers.DN)} }, match: true, group: readers.Name},
		{name: "by SID", rule: func(r *Rule) { r.Groups = []string{"s-1-5-21-1-2-3-1105"} }, match: true, group: readers.Name},
		{name: "by SID of a group without a name", rule: func(r *Rule) { r.Groups = []string{unnamed.SID} }, match: true, group: unnamed.SID},
		{name: "by a longer name", rule: func(r *Rule) { r.Groups = []string{readers.Name + "2"} }, why: "not in APP-Orders-Readers2"},
		{name: "by a shorter name", rule: func(r *Rule) { r.Groups = []string{"APP-Orders"} }, why: "not in APP-Orders"},
		{name: "account", rule: func(r *Rule) { r.Groups, r.Accounts = nil, []string{"ALICE"} }, match: true, group: "ALICE"},
		{name: "account by UPN", rule: func(r *Rule) { r.Groups, r.Accounts = nil, []string{"Alice@CORP.example.com"} }, match: true, group: "Alice@CORP.example.com"},
		{name: "account by SID", rule: func(r *Rule) { r.Groups, r.Accounts = nil, []string{"S-1-5-21-1-2-3-1104"} }, match: true, group: "S-1-5-21-1-2-3-1104"},
		{name: "account is not a group", rule: func(r *Rule) { r.Groups, r.Accounts = nil, []string{readers.Name} }, why: "not in APP-Orders-Readers"},
		{name: "group or account", rule: func(r *Rule) { r.Groups, r.Accounts = []string{"Others"}, []string{"alice"} }, match: true, group: "alice"},
		{name: "any database", rule: func(r *Rule) { r.Databases = []string{"*"} }, match: true, group: readers.Name},
		{name: "other database", req: func(r *auth.Request) { r.Database = "Orders" }, why: `database "Orders" is not among orders`},
		{name: "no database", rule: func(r *Rule) { r.Databases = []string{"*"} }, req: func(r *auth.Request) { r.Database = "" }, why: `database "" is not among *`},
		{name: "IPv4 in IPv6", req: func(r *auth.Request) { r.Source = netip.MustParseAddr("::ffff:10.1.2.3") }, match: true, group: readers.Name},
		{name: "IPv6", rule: func(r *Rule) { r.Sources = networks("10.0.0.0/8", "2001:db8::/48") }, req: func(r *auth.Request) { r.Source = netip.MustParseAddr("2001:db8::1") }, match: true, group: readers.Name},
		{name: "other source", req: func(r *auth.Request) { r.Source = netip.MustParseAddr("11.1.2.3") }, why: "source 11.1.2.3 is not in 10.0.0.0/8"},
		{name: "no source", req: func(r *auth.Request) { r.Source = netip.Addr{} }, why: "source invalid IP is not in 10.0.0.0/8"},
		{name: "method", rule: func(r *Rule) { r.Methods = []auth.Method{auth.Kerberos} }, why: "method password is not among kerberos"},
		{name: "kind", rule: func(r *Rule) { r.Kinds = []auth.Kind{auth.Service} }, why: "kind person is not among service"},
		{name: "no kind", rule: func(r *Rule) { r.Kinds = []auth.Kind{auth.Person} }, id: func(id *auth.Identity) { id.Kind = "" }, why: "kind (none) is not among person"},
		{name: "reason missing", rule: func(r *Rule) { r.Reason = regexp.MustCompile(`CHG-\d+`) }, why: "a reason must be given (options=-c pgcustos.reason=…) and none was"},
		{name: "reason wrong", rule: func(r *Rule) { r.Reason = regexp.MustCompile(`CHG-\d+`) }, req: func(r *auth.Request) { r.Reason = "because" }, why: `the reason "because" does not match CHG-\d+`},
		{name: "reason in part", rule: func(r *Rule) { r.Reason = regexp.MustCompile(`CHG-\d+`) }, req: func(r *auth.Request) { r.Reason = "CHG-7 or so" }, why: `the reason "CHG-7 or so" does not match CHG-\d+`},
		{name: "reason given", rule: func(r *Rule) { r.Reason = regexp.MustCompile(`CHG-\d+`) }, req: func(r *auth.Request) { r.Reason = "CHG-7" }, match: true, group: readers.Name},
		{name: "reason matching nothing", rule: func(r *Rule) { r.Reason = regexp.MustCompile(`.*`) }, why: "a reason must be given (options=-c pgcustos.reason=…) and none was"},
		{name: "role asked for", req: func(r *auth.Request) { r.Role = "app_ro_orders" }, match: true, group: readers.Name},
		{name: "other role asked for", req: func(r *auth.Request) { r.Role = "APP_RO_ORDERS" }, why: `gives role app_ro_orders, and "APP_RO_ORDERS" was asked for`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, req, id := rule("r", "app_ro_orders"), request(), alice()
			if tt.rule != nil {
				tt.rule(&r)
			}
			if tt.req != nil {
				tt.req(&req)
			}
			if tt.id != nil {
				tt.id(&id)
			}
			set := New([]Rule{r})
			g, err := set.Choose(id, req)
			e := set.Explain(id, req)
			if tt.match {
				if err != nil || g.Rule != "r" || g.Group != tt.group || g.Role != "app_ro_orders" {
					t.Fatalf("Choose = %+v, %v", g, err)
				}
				if !e.Rules[0].Chosen || len(e.Rules[0].Failed) != 0 {
					t.Errorf("Explain = %+v", e.Rules[0])
				}
				return
			}
			if g != nil || cause(err) != auth.CauseNoMatchingRule {
				t.Fatalf("Choose = %+v, %v", g, err)
			}
			if len(e.Rules[0].Failed) == 0 || e.Rules[0].Failed[0].Why != tt.why {
				t.Errorf("Explain says %+v, want %q", e.Rules[0].Failed, tt.why)
			}
		})
	}
}

func TestOrderAndRole(t *testing.T) {
	set := New([]Rule{
		with(func(r *Rule) { r.Name, r.Groups = "others", []string{"Others"} }),
		rule("first", "app_ro_orders"),
		rule("second", "migrate_orders"),
		rule("third", "migrate_orders"),
	})
	for asked, want := range map[string]string{"": "first", "app_ro_orders": "first", "migrate_orders": "second"} {
		req := request()
		req.Role = asked
		g, err := set.Choose(alice(), req)
		if err != nil || g.Rule != want {
			t.Errorf("asking for %q: %+v, %v, want rule %s", asked, g, err, want)
		}
	}
	req := request()
	req.Role = "dba_admin"
	_, err := set.Choose(alice(), req)
	var f *auth.Failure
	if !errors.As(err, &f) || f.Detail != `first: gives role app_ro_orders, and "dba_admin" was asked for; second: gives role migrate_orders, and "dba_admin" was asked for; third: gives role migrate_orders, and "dba_admin" was asked for` {
		t.Errorf("detail: %v", err)
	}
	if f.Identity.SID != alice().SID {
		t.Error("the failure does not carry the identity")
	}
}

func TestBarredComesFirst(t *testing.T) {
	set := New([]Rule{rule("r", "app_ro_orders")})
	for state, want := range map[auth.State]auth.Cause{
		auth.Disabled: auth.CauseDisabled, auth.LockedOut: auth.CauseLockedOut, auth.PasswordExpired: auth.CausePasswordExpired,
		auth.AccountExpired: auth.CauseAccountExpired, auth.MustChange: auth.CauseMustChange,
	} {
		id := alice()
		id.State = state
		if g, err := set.Choose(id, request()); g != nil || cause(err) != want {
			t.Errorf("state %b: %+v, %v", state, g, err)
		}
		if e := set.Explain(id, request()); e.Barred != want || e.Grant != nil || e.Rules[0].Chosen || !strings.Contains(e.String(), "kept out ("+string(want)+")") {
			t.Errorf("state %b: explained as\n%s", state, e)
		}
	}
}

// TestGrantsAreShared: sessions that get a rule for the same reason have one grant between
// them, those for another reason another; and of many reasons not all are kept.
func TestGrantsAreShared(t *testing.T) {
	r := rule("r", "app_ro_orders")
	r.Accounts = []string{"bob"}
	set := New([]Rule{r})
	a, _ := set.Choose(alice(), request())
	again, _ := set.Choose(alice(), request())
	id := alice()
	id.Account, id.Groups = "bob", nil
	b, _ := set.Choose(id, request())
	if a != again || a == b || a.Group != "APP-Orders-Readers" || b.Group != "bob" || b.Role != a.Role {
		t.Errorf("given %+v, %+v and %+v", a, again, b)
	}
	if original := set.rules[0].Grant; original.Group != "" || original.Rule != "" {
		t.Errorf("the rule's own became %+v", original)
	}
	for i := range 2 * mostGiven {
		set.grant(gift{&set.rules[0], fmt.Sprint(i)})
	}
	if n := len(set.given); n > mostGiven {
		t.Errorf("%d grants are kept", n)
	}
}

// TestForms: what a rule names by SID, DN or UPN is nobody's who is only called so.
func TestForms(t *testing.T) {
	set := New([]Rule{with(func(r *Rule) {
		r.Groups = []string{readers.SID, staff.DN}
		r.Accounts = []string{alice().SID, alice().UPN}
	})})
	somebody := auth.Identity{Account: alice().UPN, SID: "S-1-5-21-1-2-3-1200", Groups: []auth.Group{
		{SID: "S-1-5-21-1-2-3-1201", Name: readers.SID}, {SID: "S-1-5-21-1-2-3-1202", Name: staff.DN}, {SID: "S-1-5-21-1-2-3-1203", Name: alice().SID},
	}}
	if g, err := set.Choose(somebody, request()); cause(err) != auth.CauseNoMatchingRule {
		t.Errorf("given %+v, %v", g, err)
	}
	for _, id := range []auth.Identity{{SID: alice().SID}, {UPN: alice().UPN}, {Groups: []auth.Group{{SID: readers.SID}}}, {Groups: []auth.Group{{DN: staff.DN}}}} {
		if _, err := set.Choose(id, request()); err != nil {
			t.Errorf("%+v: %v", id, err)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			list := make([]Rule, n)
			for i := range list {
				list[i] = rule(fmt.Sprintf("r%d", i), "app_ro_orders")
				list[i].Groups = []string{fmt.Sprintf("Group-%d", i)}
			}
			list[n-1].Groups = []string{readers.Name}
			set, id := New(list), alice()
			for i := range 100 {
				id.Groups = append(id.Groups, auth.Group{Name: fmt.Sprintf("Other-%d", i), SID: fmt.Sprintf("S-1-5-21-1-2-3-%d", 5000+i), DN: fmt.Sprintf("CN=Other-%d,DC=corp", i)})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := set.Choose(id, request()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestTerms: a service gets no more than it is declared for.
func TestTerms(t *testing.T) {
	first, second := rule("first", "app_ro_orders"), rule("second", "app_rw_orders")
	for _, c := range []struct {
		name  string
		terms *auth.Terms
		want  string // the rule
		cause auth.Cause
	}{
		{"nothing declared", nil, "first", auth.CauseNone},
		{"any rule", &auth.Terms{}, "first", auth.CauseNone},
		{"the second alone", &auth.Terms{Rules: []string{"second"}}, "second", auth.CauseNone},
		{"a rule that is none of its", &auth.Terms{Rules: []string{"third"}}, "", auth.CauseNoMatchingRule},
		{"from elsewhere", &auth.Terms{Sources: networks("10.9.0.0/16")}, "", auth.CauseServiceSource},
		{"otherwise", &auth.Terms{Methods: []auth.Method{auth.Certificate}}, "", auth.CauseServiceMethod},
	} {
		id := alice()
		id.Kind, id.Terms = auth.Service, c.terms
		set := New([]Rule{first, second})
		g, err := set.Choose(id, request())
		got := ""
		if g != nil {
			got = g.Rule
		}
		if got != c.want || cause(err) != c.cause {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if e := set.Explain(id, request()); (e.Grant == nil) != (c.want == "") || (e.Barred != auth.CauseNone) != (c.cause != auth.CauseNone && c.cause != auth.CauseNoMatchingRule) {
			t.Errorf("%s: explained as %s", c.name, e)
		}
	}
}
