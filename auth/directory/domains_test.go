package directory

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// corpOptions and otherOptions are what the two domains are configured with.
func corpOptions(t *testing.T, c *testkit.Controller) Options {
	t.Helper()
	o := testOptions(c.CA.Pool(), c.URL)
	sid, err := c.SID(t.Context(), "")
	must(t, err)
	o.SID, o.Suffixes = sid, []string{"brand.example"}
	return o
}

func otherOptions(t *testing.T, c *testkit.Controller) Options {
	t.Helper()
	o := corpOptions(t, c)
	o.Domain, o.NetBIOS, o.Suffixes = testkit.OtherDomain, testkit.OtherNetBIOS, []string{"sales.example"}
	o.BindName = "svc-pgcustos@" + testkit.OtherDomain
	o.Services = nil
	return o
}

func openDomains(t *testing.T, home string, list ...Options) *Domains {
	t.Helper()
	ds, err := OpenDomains(list, home, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() {
		if err := ds.Close(); err != nil {
			t.Error(err)
		}
	})
	return ds
}

// openBoth opens both domains; names without one are CORP's.
func openBoth(t *testing.T) (ds *Domains, corp, other *testkit.Controller) {
	t.Helper()
	corp, other = testkit.SharedController(t), testkit.SharedOther(t)
	return openDomains(t, testkit.Domain, corpOptions(t, corp), otherOptions(t, other)), corp, other
}

func (ds *Domains) tries(t *testing.T, name, password string) (auth.Identity, error) {
	t.Helper()
	return ds.Authenticate(within(t, 60*time.Second), name, desk, auth.NewSecret([]byte(password)))
}

// TestDomainOfAName: the form of a name decides which domain is asked, and a password
// that one refuses is never shown to another.
func TestDomainOfAName(t *testing.T) {
	ds, corp, other := openBoth(t)
	must(t, corp.CreateUser(t.Context(), "branded", "Sells-the-Br4nd"))
	must(t, corp.SetAttribute(t.Context(), "branded", "userPrincipalName", "b.smith@brand.example"))
	must(t, other.CreateUser(t.Context(), "posing", "P0ses-as-Another"))
	must(t, other.SetAttribute(t.Context(), "posing", "userPrincipalName", "posing@"+testkit.Domain))
	const right, wrong = testkit.AlicePassword, testkit.OtherAlicePassword
	for _, c := range []struct {
		name, password string
		cause          auth.Cause
		domain         string
	}{
		{"alice", right, "", testkit.Domain},
		{"alice", wrong, auth.CauseWrongPassword, ""},
		{`CORP\alice`, right, "", testkit.Domain},
		{`corp\ALICE`, right, "", testkit.Domain},
		{`CORP\alice`, wrong, auth.CauseWrongPassword, ""},
		{`OTHER\alice`, wrong, "", testkit.OtherDomain},
		{`OTHER\alice`, right, auth.CauseWrongPassword, ""},
		{"alice@corp.example.com", wrong, auth.CauseWrongPassword, ""},
		{"Alice@OTHER.Example", wrong, "", testkit.OtherDomain},
		{"alice@other.example", right, auth.CauseWrongPassword, ""},
		{"b.smith@Brand.Example", "Sells-the-Br4nd", "", testkit.Domain},
		{"branded@brand.example", "Sells-the-Br4nd", auth.CauseNoSuchAccount, ""}, // only a UPN has that suffix
		{"b.smith@sales.example", "Sells-the-Br4nd", auth.CauseNoSuchAccount, ""},
		{"oscar", testkit.OtherOscarPassword, auth.CauseNoSuchAccount, ""}, // OTHER alone knows him
		{`OTHER\bob`, testkit.BobPassword, auth.CauseNoSuchAccount, ""},
		{"posing@corp.example.com", "P0ses-as-Another", auth.CauseNoSuchAccount, ""},
		{"posing@other.example", "P0ses-as-Another", "", testkit.OtherDomain},
		{`EVIL\alice`, right, auth.CauseUnknownDomain, ""},
		{"alice@evil.example", right, auth.CauseUnknownDomain, ""},
		{"alice@example", right, auth.CauseUnknownDomain, ""},
		{"alice@", right, auth.CauseUnknownDomain, ""},
		{`\alice`, right, auth.CauseUnknownDomain, ""},
		{"alice@brand.example", right, auth.CauseNoSuchAccount, ""},
		{"alice@ſales.example", wrong, auth.CauseUnknownDomain, ""}, // which Unicode folds to sales
		{"alice@\uff4fther.example", wrong, auth.CauseUnknownDomain, ""},
		{`CORP\alice@other.example`, right, auth.CauseMalformedName, ""},
		{`CORP\alice@other.example`, wrong, auth.CauseMalformedName, ""},
		{`CORP\OTHER\alice`, wrong, auth.CauseMalformedName, ""},
		{"alice@corp.example.com@other.example", wrong, auth.CauseMalformedName, ""},
		{`alice@other.example\alice`, wrong, auth.CauseUnknownDomain, ""},
	} {
		id, err := ds.tries(t, c.name, c.password)
		if c.cause != "" {
			if id.GUID != "" {
				t.Errorf("%s: a refused log-in has an identity", c.name)
			}
			wantCause(t, err, c.cause)
			continue
		}
		if err != nil || id.Domain != c.domain {
			t.Errorf("%s: %s, %v", c.name, id.Domain, err)
		}
	}
	// A UPN that is another domain's is not its account's name, neither for rules nor
	// at a backend.
	id, err := ds.Lookup(t.Context(), `OTHER\posing`)
	must(t, err)
	if id.UPN != "" || id.Name() != "posing@other.example" || id.Handle() != `OTHER\posing` {
		t.Errorf("posing is %q, %q, %q", id.UPN, id.Name(), id.Handle())
	}
}

// TestSameNameInTwoDomains: two accounts of one name are two principals.
func TestSameNameInTwoDomains(t *testing.T) {
	ds, _, _ := openBoth(t)
	a, err := ds.tries(t, "alice", testkit.AlicePassword)
	must(t, err)
	b, err := ds.tries(t, `OTHER\alice`, testkit.OtherAlicePassword)
	must(t, err)
	if a.Key() == b.Key() || a.SID == b.SID || a.Name() == b.Name() || a.Handle() == b.Handle() {
		t.Errorf("%+v and %+v", a, b)
	}
	if !groupNames(a)[testkit.GroupReaders] || groupNames(b)[testkit.GroupReaders] || !groupNames(b)[`OTHER\`+testkit.GroupReaders] {
		t.Errorf("in %v and %v", a.Groups, b.Groups)
	}
	for _, g := range b.Groups {
		if !ds.all[1].owns(g.SID) {
			t.Errorf("OTHER's alice has %+v, which OTHER does not give out", g)
		}
	}
	for _, id := range []auth.Identity{a, b} {
		again, err := ds.Refresh(t.Context(), auth.Identity{GUID: id.GUID, SID: id.SID})
		must(t, err)
		if again.Key() != id.Key() {
			t.Errorf("%s is %s when it is read again", id.Key(), again.Key())
		}
	}
	// A GUID of the one is nobody's in the other.
	_, err = ds.Refresh(t.Context(), auth.Identity{GUID: a.GUID, SID: b.SID})
	wantCause(t, err, auth.CauseNoSuchAccount)
	_, err = ds.Refresh(t.Context(), auth.Identity{GUID: a.GUID, SID: "S-1-5-21-1-2-3-1104"})
	wantCause(t, err, auth.CauseUnknownDomain)
}

// TestGuessingInOneDomain: what is guessed at an account of one domain is counted there
// alone, and stops nobody of the same name.
func TestGuessingInOneDomain(t *testing.T) {
	ds, corp, other := openBoth(t)
	const right, wrong = "Twin-0f-the-0ther", "Twin-0f-the-First"
	must(t, corp.CreateUser(t.Context(), "twin", right))
	must(t, other.CreateUser(t.Context(), "twin", wrong))
	for range testkit.LockoutThreshold {
		if _, err := ds.tries(t, `CORP\twin`, wrong); failure(err).Cause == auth.CauseThrottled {
			break
		}
	}
	_, err := ds.tries(t, "twin", right)
	wantCause(t, err, auth.CauseThrottled)
	counted, err := other.Attributes(t.Context(), "twin", "badPwdCount")
	must(t, err)
	if n := counted["badPwdCount"]; n != "" && n != "0" {
		t.Errorf("OTHER has counted %s passwords that were tried at CORP", n)
	}
	_, err = ds.tries(t, `OTHER\twin`, wrong)
	must(t, err)
}

// TestNoDefaultDomain: a name that could be anybody's is nobody's.
func TestNoDefaultDomain(t *testing.T) {
	corp, other := testkit.SharedController(t), testkit.SharedOther(t)
	ds := openDomains(t, "", corpOptions(t, corp), otherOptions(t, other))
	_, err := ds.tries(t, "alice", testkit.AlicePassword)
	wantCause(t, err, auth.CauseDomainNotNamed)
	id, err := ds.tries(t, `CORP\alice`, testkit.AlicePassword)
	must(t, err)
	if id.Handle() != `CORP\alice` || !groupNames(id)[`CORP\`+testkit.GroupReaders] || groupNames(id)[testkit.GroupReaders] {
		t.Errorf("%s in %v", id.Handle(), id.Groups)
	}
}

// TestAnotherSID: a domain that is not the one that the configuration means, whatever
// it is called, has no people.
func TestAnotherSID(t *testing.T) {
	o := corpOptions(t, testkit.SharedController(t))
	right := o.SID
	o.SID = "S-1-5-21-1-2-3"
	ds := openDomains(t, testkit.Domain, o)
	f := wantCause(t, ds.Probe(t.Context())[0], auth.CauseForeignSID)
	if !strings.Contains(f.Detail, right) {
		t.Errorf("nobody says which it is: %s", f.Detail)
	}
	_, err := ds.tries(t, "alice", testkit.AlicePassword)
	wantCause(t, err, auth.CauseForeignSID)
}

// TestStrangersGroups: an account is in groups of another domain by its own SID, and by
// those of its groups, also through others there.
func TestStrangersGroups(t *testing.T) {
	ds, corp, other := openBoth(t)
	ctx := t.Context()
	for _, name := range []string{"Desk", "Desks", "Team"} {
		must(t, other.CreateLocalGroup(ctx, name))
	}
	must(t, other.AddToGroup(ctx, "Desk", "Desks"))
	must(t, corp.CreateUser(ctx, "visitor", "Visits-0ther-Domains", testkit.GroupTeam))
	stranger, err := corp.SID(ctx, "visitor")
	must(t, err)
	team, err := corp.SID(ctx, testkit.GroupTeam)
	must(t, err)
	must(t, other.AddStranger(ctx, stranger, "Desk"))
	must(t, other.AddStranger(ctx, team, "Team"))
	_, err = ds.tries(t, "visitor", "Visits-0ther-Domains")
	must(t, err)
	id := ds.whole(t, "visitor")
	for _, want := range []string{`OTHER\Desk`, `OTHER\Desks`, `OTHER\Team`, testkit.GroupTeam} {
		if !groupNames(id)[want] {
			t.Errorf("visitor is not in %s: %v", want, id.Groups)
		}
	}
	for _, g := range id.Groups {
		if g.Name == `OTHER\Desks` && (g.Domain != testkit.OtherDomain || !ds.all[1].owns(g.SID)) {
			t.Errorf("%+v", g)
		}
	}
	m, err := ds.Memberships(ctx, id)
	must(t, err)
	for _, g := range id.Groups {
		var way []string
		for _, via := range m.Path(g.SID) {
			way = append(way, via.Name)
		}
		want := map[string]string{`OTHER\Desk`: `OTHER\Desk`, `OTHER\Desks`: `OTHER\Desk OTHER\Desks`, `OTHER\Team`: testkit.GroupTeam + ` OTHER\Team`}[g.Name]
		if got := strings.Join(way, " "); want != "" && got != want {
			t.Errorf("the way to %s is %s, want %s", g.Name, got, want)
		}
	}
	if bob := ds.whole(t, "bob"); groupNames(bob)[`OTHER\Desk`] {
		t.Errorf("bob is in %v", bob.Groups)
	}
}

// whole reads an account until every domain has told of it in time, which on a busy
// machine one may not at first.
func (ds *Domains) whole(t *testing.T, name string) (id auth.Identity) {
	t.Helper()
	must(t, testkit.WaitFor(within(t, 90*time.Second), func() (err error) {
		if id, err = ds.Lookup(t.Context(), name); err == nil && len(id.Unheard) > 0 {
			err = errAway
		}
		return err
	}))
	return id
}

// TestStrangersAreWatched: what happens to an account's groups in another domain is
// noticed there.
func TestStrangersAreWatched(t *testing.T) {
	ds, corp, other := openBoth(t)
	ctx := t.Context()
	for _, name := range []string{"Watched", "Watched-Above", "Watched-Later"} {
		must(t, other.CreateLocalGroup(ctx, name))
	}
	must(t, corp.CreateGroup(ctx, "Travellers"))
	must(t, corp.CreateUser(ctx, "traveller", "Visits-0ther-Domains"))
	stranger, err := corp.SID(ctx, "traveller")
	must(t, err)
	travellers, err := corp.SID(ctx, "Travellers")
	must(t, err)
	must(t, other.AddStranger(ctx, travellers, "Watched-Later"))
	id, err := ds.Lookup(ctx, "traveller")
	must(t, err)
	r := newRoll(id)
	watched, end := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { ds.Watch(watched, r) })
	defer work.Wait()
	defer end()
	is := func(group string, want bool) {
		t.Helper()
		until(t, group, func() bool { return groupNames(r.get(id.Key()))[group] == want })
	}
	must(t, other.AddStranger(ctx, stranger, "Watched"))
	is(`OTHER\Watched`, true)
	must(t, other.AddToGroup(ctx, "Watched", "Watched-Above"))
	is(`OTHER\Watched-Above`, true)
	must(t, other.RemoveFromGroup(ctx, "Watched", "Watched-Above"))
	is(`OTHER\Watched-Above`, false)
	must(t, other.RemoveStranger(ctx, stranger, "Watched"))
	is(`OTHER\Watched`, false)
	// At home, and so elsewhere.
	must(t, corp.AddToGroup(ctx, "traveller", "Travellers"))
	is(`OTHER\Watched-Later`, true)
	must(t, corp.RemoveFromGroup(ctx, "traveller", "Travellers"))
	is(`OTHER\Watched-Later`, false)
	is("Domain Users", true)
	must(t, other.AddStranger(ctx, stranger, "Watched"))
	is(`OTHER\Watched`, true)
	must(t, other.Delete(ctx, "Watched"))
	is(`OTHER\Watched`, false)
}

// TestOneDomainIsAway: its own people are refused, nobody else's, and nobody else waits.
func TestOneDomainIsAway(t *testing.T) {
	corp := testkit.SharedController(t)
	other := testkit.NewController(t, testkit.Options{Other: true})
	ctx := t.Context()
	must(t, other.CreateLocalGroup(ctx, "Away"))
	must(t, other.CreateLocalGroup(ctx, "Away-too"))
	must(t, corp.CreateGroup(ctx, "Stayers"))
	must(t, corp.CreateUser(ctx, "stayer", "Stays-where-1t-is", "Stayers"))
	for account, group := range map[string]string{"stayer": "Away", "Stayers": "Away-too"} {
		sid, err := corp.SID(ctx, account)
		must(t, err)
		must(t, other.AddStranger(ctx, sid, group))
	}
	o := otherOptions(t, other)
	o.Timeout = 2 * time.Second
	ds := openDomains(t, testkit.Domain, corpOptions(t, corp), o)
	must(t, other.Freeze())
	_, err := ds.tries(t, `OTHER\alice`, testkit.OtherAlicePassword)
	wantCause(t, err, auth.CauseDirectoryDown)
	// Known to be away: nothing is asked of it. Its timeout is what would be waited for.
	for range 3 {
		id, err := ds.tries(t, "stayer", "Stays-where-1t-is")
		must(t, err)
		if groupNames(id)[`OTHER\Away`] || len(id.Unheard) != 1 || id.Unheard[0] != testkit.OtherDomain {
			t.Errorf("in %v, unheard %v", id.Groups, id.Unheard)
		}
	}
	if !ds.all[1].away() || ds.all[0].away() {
		t.Error("not OTHER alone is away")
	}
	if errs := ds.Probe(within(t, 60*time.Second)); errs[0] != nil || errs[1] == nil {
		t.Errorf("probed: %v", errs)
	}
	must(t, other.Thaw())
	// A watch sees that it is back, and has the missing groups read.
	id, err := ds.Lookup(ctx, "stayer")
	must(t, err)
	r := newRoll(id)
	watched, end := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { ds.Watch(watched, r) })
	defer work.Wait()
	defer end()
	until(t, "the groups of who was away", func() bool {
		id := r.get(id.Key())
		return groupNames(id)[`OTHER\Away`] && len(id.Unheard) == 0
	})
	until(t, "the watch's word", func() bool { return ds.Silent(testkit.OtherDomain) < 10*time.Second })
	// What is lost at home while it is away takes the groups there with it: nobody can
	// tell which of them rest on that.
	must(t, other.Freeze())
	must(t, corp.RemoveFromGroup(ctx, "stayer", "Stayers"))
	in := func(group string) bool { return groupNames(r.get(id.Key()))[`OTHER\`+group] }
	until(t, "what was lost", func() bool { return !in("Away") && !in("Away-too") })
	must(t, other.Thaw())
	until(t, "what is left", func() bool { return in("Away") && !in("Away-too") })
}

// TestDomainClaimsWhatIsAnothers: a domain that says that an account has another
// domain's SID, is in its groups, or stands in its place, is not believed.
func TestDomainClaimsWhatIsAnothers(t *testing.T) {
	const mine, theirs = "S-1-5-21-1-2-3", "S-1-5-21-4-5-6"
	entry := func(change func(map[string][]string)) *ldap.Entry {
		values := map[string][]string{
			"objectGUID": {strings.Repeat("g", 16)}, "objectSid": {rawSID(t, mine+"-1104")}, "sAMAccountName": {"alice"}, "sAMAccountType": {"805306368"},
			"userPrincipalName": {"alice@" + testkit.OtherDomain}, "uSNChanged": {"7"}, "userAccountControl": {"512"},
			"msDS-User-Account-Control-Computed": {"0"}, "accountExpires": {"0"}, "pwdLastSet": {"132000000000000000"},
			"tokenGroups": {rawSID(t, mine+"-513"), rawSID(t, theirs+"-1105"), rawSID(t, "S-1-5-32-544"), rawSID(t, mine+"-1200")},
		}
		change(values)
		return ldap.NewEntry(values["dn"][0], values)
	}
	var at *ldap.Entry
	f := &fake{search: func(base string, _ int, filter string, _ []string) ([]*ldap.Entry, uint16) {
		switch {
		case strings.HasPrefix(base, "<GUID="), strings.Contains(filter, "sAMAccountName"):
			return []*ldap.Entry{at}, 0
		case strings.Contains(filter, "objectSid"):
			return []*ldap.Entry{
				ldap.NewEntry("CN=Readers,DC=corp,DC=example,DC=com", map[string][]string{"objectSid": {rawSID(t, mine+"-513")}, "sAMAccountName": {"Readers"}}),
				ldap.NewEntry("CN=X,DC=other,DC=example", map[string][]string{"objectSid": {rawSID(t, mine+"-1200")}, "sAMAccountName": {`CORP\Readers`}}),
			}, 0
		}
		return nil, 0
	}}
	o := f.start(t)
	o.Domain, o.NetBIOS, o.SID = testkit.OtherDomain, testkit.OtherNetBIOS, mine
	corp := testOptions(nil, "ldaps://127.0.0.1:1")
	corp.SID = theirs
	ds := openDomains(t, testkit.Domain, corp, o)
	for name, c := range map[string]struct {
		change func(map[string][]string)
		cause  auth.Cause
	}{
		"in order":         {func(map[string][]string) {}, ""},
		"SID":              {func(v map[string][]string) { v["objectSid"] = []string{rawSID(t, theirs+"-1104")} }, auth.CauseForeignSID},
		"SID of a builtin": {func(v map[string][]string) { v["objectSid"] = []string{rawSID(t, "S-1-5-32-544")} }, auth.CauseForeignSID},
		"SID below":        {func(v map[string][]string) { v["objectSid"] = []string{rawSID(t, mine+"-4-1104")} }, auth.CauseForeignSID},
		"place":            {func(v map[string][]string) { v["dn"] = []string{"CN=alice,OU=People," + testkit.BaseDN} }, auth.CauseDirectoryAnswer},
		"name":             {func(v map[string][]string) { v["sAMAccountName"] = []string{`CORP\alice`} }, auth.CauseDirectoryAnswer},
		"name as a UPN":    {func(v map[string][]string) { v["sAMAccountName"] = []string{"alice@corp.example.com"} }, auth.CauseDirectoryAnswer},
		"UPN":              {func(v map[string][]string) { v["userPrincipalName"] = []string{"alice@corp.example.com"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			at = entry(func(v map[string][]string) {
				v["dn"] = []string{"CN=alice,DC=other,DC=example"}
				c.change(v)
			})
			id, err := ds.tries(t, `OTHER\alice`, "whatever")
			if c.cause != "" {
				wantCause(t, err, c.cause)
				return
			}
			must(t, err)
			if len(id.Groups) != 2 || id.Name() != "alice@other.example" {
				t.Errorf("%s in %+v", id.Name(), id.Groups)
			}
			for _, g := range id.Groups {
				if g.Name != "" || strings.Contains(g.DN, "corp") { // they are another domain's
					t.Errorf("%+v", g)
				}
			}
		})
	}
}

// TestStrangersGroupsThatAreNone: of what a domain says of a stranger, those are its
// groups that have a SID and a place of its own, and are no lists of addresses.
func TestStrangersGroupsThatAreNone(t *testing.T) {
	const mine, theirs = "S-1-5-21-1-2-3", "S-1-5-21-4-5-6"
	stranger := "CN=" + theirs + "-1104,CN=ForeignSecurityPrincipals," + testkit.OtherBaseDN
	group := func(name, sid, kind string) *ldap.Entry {
		return ldap.NewEntry("CN="+name+","+testkit.OtherBaseDN, map[string][]string{"objectSid": {rawSID(t, sid)}, "sAMAccountName": {name}, "groupType": {kind}})
	}
	const local = "-2147483644"
	elsewhere := group("Elsewhere", mine+"-1300", local)
	elsewhere.DN = "CN=Elsewhere," + testkit.BaseDN
	var asked []string
	f := &fake{search: func(base string, _ int, filter string, _ []string) ([]*ldap.Entry, uint16) {
		asked = append(asked, filter)
		switch {
		case strings.Contains(filter, "foreignSecurityPrincipal"):
			return []*ldap.Entry{
				ldap.NewEntry(stranger, map[string][]string{"objectSid": {rawSID(t, theirs+"-1104")}}),
				ldap.NewEntry("CN=Unasked,"+testkit.OtherBaseDN, map[string][]string{"objectSid": {rawSID(t, theirs+"-500")}}),
			}, 0
		case strings.Contains(filter, stranger) && !strings.Contains(filter, "Unasked"):
			return []*ldap.Entry{
				group("Desk", mine+"-1200", local), group("List", mine+"-1201", "4"), group("Builtin", "S-1-5-32-544", local),
				group("Theirs", theirs+"-512", local), group(`CORP\Readers`, mine+"-1202", local), elsewhere,
				ldap.NewEntry("CN=Kindless,"+testkit.OtherBaseDN, map[string][]string{"objectSid": {rawSID(t, mine+"-1203")}}),
			}, 0
		case strings.Contains(filter, "Desk"):
			return []*ldap.Entry{group("Above", mine+"-1204", local)}, 0
		case strings.Contains(filter, "Above"): // and so round
			return []*ldap.Entry{group("Desk", mine+"-1200", local)}, 0
		}
		return nil, 0
	}}
	o := f.start(t)
	o.Domain, o.NetBIOS, o.SID = testkit.OtherDomain, testkit.OtherNetBIOS, mine
	d := openDirectory(t, o)
	d.qualified = true
	sid, err := sidBytes(theirs + "-1104")
	must(t, err)
	groups, err := d.guest(within(t, 30*time.Second), [][]byte{sid})
	must(t, err)
	var names []string
	for _, g := range groups {
		names = append(names, g.Name+"="+g.SID[len(mine):])
	}
	if got, want := strings.Join(names, " "), `OTHER\Desk=-1200 =-1202 OTHER\Above=-1204`; got != want {
		t.Errorf("%s, want %s, asked\n%s", got, want, strings.Join(asked, "\n"))
	}
}

func rawSID(t *testing.T, sid string) string {
	t.Helper()
	b, err := sidBytes(sid)
	must(t, err)
	return string(b)
}

// TestAdopt: under another configuration an account has the names that it gives.
func TestAdopt(t *testing.T) {
	single := testOptions(nil, "ldaps://127.0.0.1:1")
	corp, other := single, single
	corp.SID = "S-1-5-21-1-2-3"
	other.Domain, other.NetBIOS, other.SID = testkit.OtherDomain, testkit.OtherNetBIOS, "S-1-5-21-4-5-6"
	alice := auth.Identity{
		Account: "alice", UPN: "alice@elsewhere.example", Domain: testkit.OtherDomain, DN: "CN=alice," + testkit.OtherBaseDN, SID: other.SID + "-1104", GUID: "g",
		Groups: []auth.Group{
			{Name: "Readers", SID: other.SID + "-1105", Domain: testkit.OtherDomain},
			{Name: "Administrators", SID: "S-1-5-32-544", Domain: testkit.OtherDomain},
			{Name: "Guests", SID: corp.SID + "-1106", Domain: testkit.Domain},
			{SID: "S-1-5-21-7-8-9-1107"},
		},
	}
	names := func(id auth.Identity) string {
		out := []string{id.Handle(), id.UPN}
		for _, g := range id.Groups {
			out = append(out, g.Name)
		}
		return strings.Join(out, " ")
	}
	both := openDomains(t, testkit.Domain, corp, other)
	got, err := both.Adopt(alice)
	must(t, err)
	if want := `OTHER\alice  OTHER\Readers Guests`; names(got) != want {
		t.Errorf("%q, want %q", names(got), want)
	}
	again, err := both.Adopt(got)
	must(t, err)
	if names(again) != names(got) {
		t.Errorf("adopted twice: %q", names(again))
	}
	_, err = openDomains(t, testkit.Domain, corp).Adopt(alice)
	wantCause(t, err, auth.CauseUnknownDomain)
	_, err = openDomains(t, testkit.Domain, single).Adopt(alice)
	wantCause(t, err, auth.CauseUnknownDomain)
	single.Domain, single.NetBIOS = testkit.OtherDomain, testkit.OtherNetBIOS
	alone, err := openDomains(t, testkit.OtherDomain, single).Adopt(got)
	must(t, err)
	if want := `alice  Readers`; names(alone) != want {
		t.Errorf("%q, want %q", names(alone), want)
	}
}

// TestAdoptTerms: what a service is declared with holds from the reload on that says so,
// whether or not a controller is there.
func TestAdoptTerms(t *testing.T) {
	o := testOptions(nil, "ldaps://127.0.0.1:1")
	service := auth.Identity{Account: "SVC-Orders", Domain: testkit.Domain, SID: "S-1-5-21-1-2-3-1104", GUID: "g", Kind: auth.Person, PasswordSet: time.Now().Add(-48 * time.Hour)}
	adopt := func(terms auth.Terms) auth.Identity {
		o.Services = map[string]auth.Terms{"svc-orders": terms}
		id, err := openDomains(t, testkit.Domain, o).Adopt(service)
		must(t, err)
		return id
	}
	service = adopt(auth.Terms{Owner: "alice", Ends: time.Now().Add(-time.Minute), PasswordAge: 24 * time.Hour})
	if service.Kind != auth.Service || service.Owner != "alice" || service.Terms == nil || service.State != auth.ServiceExpired|auth.PasswordTooOld {
		t.Errorf("declared, it is %+v", service)
	}
	service = adopt(auth.Terms{Owner: "bob", Rules: []string{"desk"}})
	if service.Owner != "bob" || !service.Terms.Allows("desk") || service.Terms.Allows("another") || service.State != 0 {
		t.Errorf("declared otherwise, it is %+v", service)
	}
	o.Services = nil
	id, err := openDomains(t, testkit.Domain, o).Adopt(service)
	must(t, err)
	if id.Kind != auth.Person || id.Owner != "" || id.Terms != nil {
		t.Errorf("declared no more, it is %+v", id)
	}
}
