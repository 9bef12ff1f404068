package directory

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestAuthenticateGivesIdentity(t *testing.T) {
	d, c := openShared(t)
	id, err := authenticate(t, d, "alice", testkit.AlicePassword)
	must(t, err)
	dn, err := c.DN(t.Context(), "alice")
	must(t, err)
	want := auth.Identity{
		Account: "alice", UPN: "alice@corp.example.com", Domain: "corp.example.com", NetBIOS: "CORP", DN: dn, Kind: auth.Person,
		SID: id.SID, GUID: id.GUID, Groups: id.Groups, USN: id.USN,
	}
	if id.Account != want.Account || id.UPN != want.UPN || id.Domain != want.Domain || id.NetBIOS != want.NetBIOS || id.DN != want.DN || id.Kind != want.Kind || id.State != 0 || !id.Expires.IsZero() {
		t.Errorf("got %+v, want %+v", id, want)
	}
	if !regexp.MustCompile(`^S-1-5-21-\d+-\d+-\d+-\d{4,}$`).MatchString(id.SID) {
		t.Errorf("SID %q", id.SID)
	}
	if err := checkGUID(id.GUID); err != nil {
		t.Errorf("GUID %q: %v", id.GUID, err)
	}
	if id.USN == 0 {
		t.Error("no USN")
	}
}

func TestGroupsAreNested(t *testing.T) {
	d, _ := openShared(t)
	for account, want := range map[string][]string{
		"alice":              {testkit.GroupTeam, testkit.GroupReaders, "Domain Users"}, // the readers only through the team
		"bob":                {testkit.GroupMigrations, testkit.GroupReaders},
		testkit.ZoeAccount:   {testkit.GroupUmlauts, testkit.GroupReaders},
		"svc-orders":         {testkit.GroupServices},
		"CORP\\svc-pgcustos": {"Domain Users"},
	} {
		id, err := d.Lookup(t.Context(), account)
		must(t, err)
		names := groupNames(id)
		for _, group := range want {
			if !names[group] {
				t.Errorf("%s is not in %s: %v", account, group, id.Groups)
			}
		}
		if account == "alice" && names[testkit.GroupMigrations] {
			t.Error("alice is in the migrations' group")
		}
		for _, g := range id.Groups {
			if g.Name != "" && (g.DN == "" || !strings.HasPrefix(g.SID, "S-1-5-")) {
				t.Errorf("%s: %+v", account, g)
			}
		}
	}
}

func TestStates(t *testing.T) {
	d, _ := openShared(t)
	for _, test := range []struct {
		name, password string
		cause          auth.Cause
		state          auth.State
	}{
		{"dave", testkit.DavePassword, auth.CauseDisabled, auth.Disabled},
		{"erin", testkit.ErinPassword, auth.CauseAccountExpired, auth.AccountExpired},
		{"frank", testkit.FrankPassword, auth.CauseMustChange, auth.MustChange | auth.PasswordExpired},
		{"grace", testkit.GracePassword, auth.CauseLockedOut, auth.LockedOut},
		{"heidi", testkit.HeidiPassword, auth.CausePasswordExpired, auth.PasswordExpired},
		{"dave", "Not-The-0ne", auth.CauseWrongPassword, auth.Disabled},
		{"erin", "Not-The-0ne", auth.CauseWrongPassword, auth.AccountExpired},
		{"grace", "Not-The-0ne", auth.CauseLockedOut, auth.LockedOut},
		{"carol", "Not-The-0ne", auth.CauseWrongPassword, 0},
		{"carol", testkit.CarolPassword, auth.CauseNone, 0},
	} {
		t.Run(test.name+" "+string(test.cause), func(t *testing.T) {
			looked, err := d.Lookup(t.Context(), test.name)
			must(t, err)
			if looked.State != test.state {
				t.Errorf("Lookup: state %b, want %b", looked.State, test.state)
			}
			id, err := authenticate(t, d, test.name, test.password)
			if test.cause == auth.CauseNone {
				must(t, err)
				return
			}
			f := wantCause(t, err, test.cause)
			if id.GUID != "" {
				t.Error("a refused log-in returned an identity")
			}
			if f.Identity.Account != test.name || f.Identity.GUID != looked.GUID {
				t.Errorf("the failure tells of %+v", f.Identity)
			}
			if strings.Contains(f.Error(), test.password) {
				t.Error("the failure tells the password")
			}
		})
	}
}

func TestNames(t *testing.T) {
	d, _ := openShared(t)
	for _, test := range []struct{ name, password, account string }{
		{"alice", testkit.AlicePassword, "alice"},
		{"ALICE", testkit.AlicePassword, "alice"},
		{"alice@corp.example.com", testkit.AlicePassword, "alice"},
		{"Alice@CORP.example.COM", testkit.AlicePassword, "alice"},
		{`CORP\alice`, testkit.AlicePassword, "alice"},
		{`corp\Alice`, testkit.AlicePassword, "alice"},
		{"ivan", testkit.IvanPassword, "ivan"}, // has no userPrincipalName
		{"ivan@corp.example.com", testkit.IvanPassword, "ivan"},
		{"judy", testkit.JudyPassword, "judy"},
		{"judy@corp.example.com", testkit.JudyPassword, "judy"},
		{"judy.smith", testkit.JudyPassword, "judy"}, // the userPrincipalName's
		{"judy.smith@corp.example.com", testkit.JudyPassword, "judy"},
		{testkit.ZoeAccount, testkit.ZoePassword, testkit.ZoeAccount},
		{strings.ToUpper(testkit.ZoeAccount), testkit.ZoePassword, testkit.ZoeAccount},
		{testkit.PatAccount, testkit.PatPassword, testkit.PatAccount},
		{`CORP\` + testkit.PatAccount, testkit.PatPassword, testkit.PatAccount},
		{"svc-orders", testkit.OrdersPassword, "svc-orders"},
	} {
		id, err := authenticate(t, d, test.name, test.password)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if id.Account != test.account {
			t.Errorf("%s is %q, want %q", test.name, id.Account, test.account)
		}
	}
}

func TestNamesThatAreNobodys(t *testing.T) {
	d, _ := openShared(t)
	for name, cause := range map[string]auth.Cause{
		"mallory":                 auth.CauseNoSuchAccount,
		"*":                       auth.CauseNoSuchAccount,
		"al*ce":                   auth.CauseNoSuchAccount,
		"alice)(objectClass=*":    auth.CauseNoSuchAccount,
		"*)(sAMAccountName=alice": auth.CauseNoSuchAccount,
		`\2a`:                     auth.CauseMalformedName,
		"CN=Alice Adams,OU=People," + testkit.BaseDN: auth.CauseNoSuchAccount,
		"DC1$":                       auth.CauseNotAPerson,
		"APP-Orders-Readers":         auth.CauseNotAPerson,
		"alice@evil.example.org":     auth.CauseNoSuchAccount,
		`EVIL\alice`:                 auth.CauseNoSuchAccount,
		`CORP\judy.smith`:            auth.CauseNoSuchAccount,
		"Alice Adams":                auth.CauseNoSuchAccount, // a display name
		"S-1-5-32-544":               auth.CauseNoSuchAccount,
		"krbtgt/corp.example.com":    auth.CauseNoSuchAccount,
		"alice@corp.example.com\x00": auth.CauseMalformedName,
	} {
		f := wantCauseOf(t, d, name, cause)
		if cause == auth.CauseNoSuchAccount && f.Identity.GUID != "" {
			t.Errorf("%q: %+v", name, f.Identity)
		}
	}
}

func wantCauseOf(t *testing.T, d *Directory, name string, cause auth.Cause) *auth.Failure {
	t.Helper()
	_, err := authenticate(t, d, name, testkit.AlicePassword)
	f := wantCause(t, err, cause)
	_, err = d.Lookup(t.Context(), name)
	wantCause(t, err, cause)
	return f
}

func TestDisabledWhileBindSucceeds(t *testing.T) {
	// The state is read after the bind: with an expiry that passes in between, the
	// bind succeeds and the log-in does not.
	d, c := openShared(t)
	must(t, c.CreateUser(t.Context(), "quick", "Expires-S0on-Enough"))
	must(t, c.SetExpiry(t.Context(), "quick", time.Now().Add(time.Hour)))
	id, err := authenticate(t, d, "quick", "Expires-S0on-Enough")
	must(t, err)
	if left := time.Until(id.Expires); left < 59*time.Minute || left > time.Hour {
		t.Errorf("expires in %s", left)
	}
	d.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err = authenticate(t, d, "quick", "Expires-S0on-Enough")
	f := wantCause(t, err, auth.CauseAccountExpired)
	if f.Identity.State != auth.AccountExpired {
		t.Errorf("state %b", f.Identity.State)
	}
}

// TestSmartCard: a password that somebody has set for an account that needs a card lets
// nobody in.
func TestSmartCard(t *testing.T) {
	d, c := openShared(t)
	const password = "Has-a-Sm4rt-Card"
	must(t, c.CreateUser(t.Context(), "card", password))
	_, err := authenticate(t, d, "card", password)
	must(t, err)
	must(t, c.SetAttribute(t.Context(), "card", "userAccountControl", "262656"))
	must(t, c.SetPassword(t.Context(), "card", password))
	_, err = authenticate(t, d, "card", password)
	wantCause(t, err, auth.CauseRestricted)
	_, err = authenticate(t, d, "card", "An0ther-one")
	wantCause(t, err, auth.CauseWrongPassword)
	if id, err := d.Lookup(t.Context(), "card"); err != nil || id.State != 0 {
		t.Errorf("state %b, %v: a ticket or certificate of it lets nobody in", id.State, err)
	}
}

// TestLogonHours are those of every log-in: a controller knows of passwords alone.
func TestLogonHours(t *testing.T) {
	d, c := openShared(t)
	const password = "W0rks-in-the-Morning"
	must(t, c.CreateUser(t.Context(), "hourly", password))
	hours := func(allowed ...int) string {
		b := make([]byte, 21)
		for _, h := range allowed {
			b[h/8] |= 1 << (h % 8)
		}
		return string(b)
	}
	now := time.Now().UTC()
	hour := int(now.Weekday())*24 + now.Hour()
	must(t, c.SetAttribute(t.Context(), "hourly", "logonHours", hours(hour, (hour+1)%168)))
	id, err := authenticate(t, d, "hourly", password)
	must(t, err)
	if id.State != 0 {
		t.Errorf("state %b in its hours", id.State)
	}
	must(t, c.SetAttribute(t.Context(), "hourly", "logonHours", hours((hour+100)%168)))
	if id, err = d.Lookup(t.Context(), "hourly"); err != nil || id.State != auth.OutsideHours {
		t.Errorf("state %b outside of its hours, %v", id.State, err)
	}
	_, err = authenticate(t, d, "hourly", password)
	wantCause(t, err, auth.CauseLogonHours)

	sunday := time.Date(2026, 11, 29, 0, 30, 0, 0, time.UTC)
	for h := range 168 {
		at := sunday.Add(time.Duration(h) * time.Hour).In(time.FixedZone("", 3600*5))
		if outside([]byte(hours(h)), at) || !outside([]byte(hours((h+1)%168)), at) {
			t.Errorf("hour %d is mistaken", h)
		}
	}
	if outside(nil, now) || outside(make([]byte, 20), now) {
		t.Error("without hours, or with what are none, an account is kept out")
	}
}

func TestServicesAreDeclared(t *testing.T) {
	d, _ := openShared(t)
	id, err := authenticate(t, d, "SVC-Orders", testkit.OrdersPassword)
	must(t, err)
	if id.Kind != auth.Service || id.Owner != "alice@corp.example.com" {
		t.Errorf("kind %q, owner %q", id.Kind, id.Owner)
	}
}

func TestRefreshSeesChanges(t *testing.T) {
	d, c := openShared(t)
	ctx := within(t, time.Minute)
	must(t, c.CreateUser(ctx, "rita", "Changes-A-L0t", testkit.GroupTeam))
	id, err := d.Lookup(ctx, "rita")
	must(t, err)
	if !groupNames(id)[testkit.GroupReaders] {
		t.Error("not in the readers' group")
	}
	steps := []struct {
		what   string
		change func() error
		good   func(auth.Identity) bool
	}{
		{"leave the group", func() error { return c.RemoveFromGroup(ctx, "rita", testkit.GroupTeam) }, func(id auth.Identity) bool { return !groupNames(id)[testkit.GroupReaders] }},
		{"be disabled", func() error { return c.Disable(ctx, "rita") }, func(id auth.Identity) bool { return id.State == auth.Disabled }},
		{"be enabled", func() error { return c.Enable(ctx, "rita") }, func(id auth.Identity) bool { return id.State == 0 }},
		{"be renamed", func() error { return c.Rename(ctx, "rita", "rita.rose") }, func(id auth.Identity) bool {
			return id.Account == "rita.rose" && id.UPN == "rita.rose@corp.example.com"
		}},
	}
	for _, step := range steps {
		must(t, step.change())
		fresh, err := d.Refresh(ctx, id)
		must(t, err)
		if !step.good(fresh) || fresh.GUID != id.GUID || fresh.SID != id.SID || fresh.USN < id.USN {
			t.Errorf("%s: %+v", step.what, fresh)
		}
	}
	must(t, c.Delete(ctx, "rita.rose"))
	_, err = d.Refresh(ctx, id)
	wantCause(t, err, auth.CauseNoSuchAccount)

	// One hired again under the same name is somebody else (invariant 3).
	must(t, c.CreateUser(ctx, "rita", "Changes-A-L0t"))
	again, err := d.Lookup(ctx, "rita")
	must(t, err)
	if again.GUID == id.GUID || again.SID == id.SID {
		t.Error("a new account has the old one's identity")
	}
	_, err = d.Refresh(ctx, auth.Identity{GUID: again.GUID, SID: id.SID})
	wantCause(t, err, auth.CauseIdentityMismatch)
	_, err = d.Refresh(ctx, auth.Identity{GUID: "*)(objectClass=*"})
	wantCause(t, err, auth.CauseNoSuchAccount)
}

func TestEmptyPasswordIsRefusedBeforeAnyNetwork(t *testing.T) {
	d := openDirectory(t, testOptions(nil, "ldaps://127.0.0.1:1"))
	_, err := d.Authenticate(t.Context(), "alice", desk, auth.NewSecret(nil))
	wantCause(t, err, auth.CauseEmptyPassword)
	_, err = d.Authenticate(t.Context(), "alice", desk, nil)
	wantCause(t, err, auth.CauseEmptyPassword)
	_, err = d.Authenticate(t.Context(), "alice", desk, auth.NewSecret(make([]byte, 2000)))
	wantCause(t, err, auth.CauseWrongPassword)
}

func TestOpenRefusesOptions(t *testing.T) {
	for what, change := range map[string]func(*Options){
		"only ldaps":       func(o *Options) { o.Controllers = []string{"ldap://dc1.corp.example.com"} },
		"form ldaps":       func(o *Options) { o.Controllers = []string{"ldaps://user:pw@dc1.corp.example.com"} },
		"no controllers":   func(o *Options) { o.Controllers = nil },
		"DNS name":         func(o *Options) { o.Domain = "" },
		"NetBIOS":          func(o *Options) { o.NetBIOS = "" },
		"reading account":  func(o *Options) { o.BindPassword = nil },
		"timeout":          func(o *Options) { o.Timeout = 0 },
		"controller":       func(o *Options) { o.Controllers = []string{"ldaps://[::1"} },
		"ldaps://h:636/dc": func(o *Options) { o.Controllers = []string{"ldaps://h:636/dc"} },
	} {
		o := testOptions(nil, "ldaps://dc1.corp.example.com")
		change(&o)
		_, err := Open(o, nil)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: the error tells a password: %v", what, err)
		}
	}
}

// TestLookalikes: names that Unicode folds to another's are those of their own accounts and
// groups, in the directory and so here.
func TestLookalikes(t *testing.T) {
	c := testkit.SharedController(t)
	o := testOptions(c.CA.Pool(), c.URL)
	o.Services = map[string]auth.Terms{"billing": {Owner: "alice@" + testkit.Domain, Purpose: "bills"}}
	d := openDirectory(t, o)
	const password = "L00ks-l1ke-Another"
	for account, lookalike := range map[string]string{"alice": "al\u0130ce", "billing": "b\u0130lling", "mike": "mi\u212ae", "boss": "bo\u017fs"} {
		if account != "alice" {
			must(t, c.CreateUser(t.Context(), account, password))
		}
		must(t, c.CreateUser(t.Context(), lookalike, password))
		id, err := authenticate(t, d, lookalike, password)
		must(t, err)
		if id.Kind != auth.Person || id.Account != lookalike || id.Name() == account+"@"+testkit.Domain {
			t.Errorf("%q is %s %q, with the UPN %q", lookalike, id.Kind, id.Account, id.UPN)
		}
		for _, spec := range []string{account, account + "@" + testkit.Domain} {
			if id.Matches(spec) {
				t.Errorf("%q passes for %s", lookalike, spec)
			}
			if other, err := d.Lookup(t.Context(), strings.ToUpper(spec)); err != nil || !other.Matches(spec) || other.SID == id.SID {
				t.Errorf("%s is %q, %v", spec, other.Account, err)
			}
		}
	}
	must(t, c.CreateGroup(t.Context(), "Kiosk"))
	must(t, c.CreateGroup(t.Context(), "\u212aiosk"))
	must(t, c.AddToGroup(t.Context(), "mike", "\u212aiosk"))
	id, err := d.Lookup(t.Context(), "mike")
	must(t, err)
	for i := range id.Groups {
		if id.Groups[i].Matches("Kiosk") {
			t.Errorf("%+v passes for Kiosk", id.Groups[i])
		}
	}
}

// TestNamesLikeOtherForms: whoever may name accounts and groups in a part of the directory
// gets none by it that rules know by SID or UPN.
func TestNamesLikeOtherForms(t *testing.T) {
	d, c := openShared(t)
	const password, upn = "Named-l1ke-Another", "carol@" + testkit.Domain
	sid, err := c.SID(t.Context(), testkit.GroupMigrations)
	must(t, err)
	must(t, c.CreateGroup(t.Context(), sid))
	must(t, c.CreateUser(t.Context(), "forms", password, sid))
	must(t, c.SetAttribute(t.Context(), "forms", "sAMAccountName", upn))
	id, err := authenticate(t, d, "forms@"+testkit.Domain, password)
	must(t, err)
	if id.Account != upn || !groupNames(id)[sid] {
		t.Fatalf("it is %q, in %v", id.Account, id.Groups)
	}
	if id.Matches(upn) {
		t.Errorf("an account named %s passes for whose UPN that is", upn)
	}
	for i := range id.Groups {
		if id.Groups[i].Matches(sid) {
			t.Errorf("a group named %s passes for whose SID that is", sid)
		}
	}
}
