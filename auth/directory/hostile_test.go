package directory

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

const (
	fakeDN   = "CN=Alice Adams,OU=People,DC=corp,DC=example,DC=com"
	fakeGUID = "03020100-0504-0706-0809-0a0b0c0d0e0f"
)

// fakeSID is a SID of the fake's domain.
func fakeSID(rid int) string {
	b := []byte{1, 5, 0, 0, 0, 0, 0, 5}
	for _, n := range []int{21, 1, 2, 3, rid} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return string(b)
}

// account is an entry in good order; changes are pairs of attribute and value,
// where an empty value takes the attribute away.
func account(changes ...string) *ldap.Entry {
	values := map[string][]string{
		"objectGUID":         {"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"},
		"objectSid":          {fakeSID(1104)},
		"sAMAccountName":     {"alice"},
		"sAMAccountType":     {strconv.Itoa(normalUser)},
		"userPrincipalName":  {"Alice@corp.example.com"},
		"uSNChanged":         {"4711"},
		"userAccountControl": {"512"},
		"accountExpires":     {"9223372036854775807"},
		"pwdLastSet":         {"133500000000000000"},
		"tokenGroups":        {fakeSID(513)},

		"msDS-User-Account-Control-Computed": {"0"},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "" {
			delete(values, changes[i])
		} else {
			values[changes[i]] = []string{changes[i+1]}
		}
	}
	return ldap.NewEntry(fakeDN, values)
}

// finds answers every search for an account with these.
func finds(entries ...*ldap.Entry) func(string, int, string, []string) ([]*ldap.Entry, uint16) {
	return func(_ string, _ int, filter string, _ []string) ([]*ldap.Entry, uint16) {
		if strings.Contains(filter, "objectSid=") {
			return nil, 0
		}
		return entries, 0
	}
}

func TestEmptyPasswordOnServerThatAcceptsIt(t *testing.T) {
	f := &fake{search: finds(account())} // accepts any bind, as Active Directory does an empty one
	d := openDirectory(t, f.start(t))
	for _, empty := range []*auth.Secret{nil, auth.NewSecret(nil), auth.NewSecret([]byte{})} {
		_, err := d.Authenticate(t.Context(), "alice", desk, empty)
		wantCause(t, err, auth.CauseEmptyPassword)
	}
	wiped := auth.NewSecret([]byte("was here"))
	wiped.Wipe()
	_, err := d.Authenticate(t.Context(), "alice", desk, wiped)
	wantCause(t, err, auth.CauseEmptyPassword)
	if names := f.boundBy(); len(names) != 0 {
		t.Errorf("binds were made: %v", names)
	}
	id, err := authenticate(t, d, "alice", "not empty")
	must(t, err)
	if id.GUID != fakeGUID || id.SID != "S-1-5-21-1-2-3-1104" || id.UPN != "alice@corp.example.com" || id.USN != 4711 {
		t.Errorf("got %+v", id)
	}
}

func TestDataCodes(t *testing.T) {
	var code uint16
	var says string
	f := &fake{search: finds(account()), bind: func(string, string) (uint16, string) { return code, says }}
	o := f.start(t)
	const invalid = ldap.LDAPResultInvalidCredentials
	for _, test := range []struct {
		code  uint16
		data  string
		cause auth.Cause
	}{
		{invalid, "525", auth.CauseNoSuchAccount},
		{invalid, "52e", auth.CauseWrongPassword},
		{invalid, "52f", auth.CauseRestricted},
		{invalid, "530", auth.CauseLogonHours},
		{invalid, "531", auth.CauseWorkstation},
		{invalid, "532", auth.CausePasswordExpired},
		{invalid, "533", auth.CauseDisabled},
		{invalid, "701", auth.CauseAccountExpired},
		{invalid, "773", auth.CauseMustChange},
		{invalid, "775", auth.CauseLockedOut},
		{invalid, "9999", auth.CauseWrongPassword},
		{invalid, "", auth.CauseWrongPassword},
		{ldap.LDAPResultReferral, "", auth.CauseDirectoryAnswer},
		{ldap.LDAPResultSaslBindInProgress, "", auth.CauseDirectoryAnswer},
		{ldap.LDAPResultUnwillingToPerform, "", auth.CauseDirectoryAnswer},
		{ldap.LDAPResultBusy, "", auth.CauseDirectoryDown},
		{ldap.LDAPResultUnavailable, "", auth.CauseDirectoryDown},
	} {
		code, says = test.code, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data "+test.data+", v1db1"
		_, err := authenticate(t, openDirectory(t, o), "alice", "secret") // each has a throttle of its own
		got := wantCause(t, err, test.cause)
		if test.cause != auth.CauseDirectoryDown && got.Identity.GUID != fakeGUID {
			t.Errorf("%s: the failure tells of %+v", test.data, got.Identity)
		}
	}
	for _, dn := range f.boundBy() {
		if dn != fakeDN {
			t.Errorf("bound %q", dn)
		}
	}
}

// TestBusyControllerIsNoRefusal asks a controller that is busy for a while: that
// says nothing of the reading account, which is tried again at once.
func TestBusyControllerIsNoRefusal(t *testing.T) {
	f := &fake{reader: ldap.LDAPResultBusy}
	d := openDirectory(t, f.start(t))
	for range 3 {
		wantCause(t, d.Probe(t.Context()), auth.CauseDirectoryDown)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.binds) != 3 {
		t.Errorf("%d binds", len(f.binds))
	}
}

func TestUnknownAccountIsBoundAsNobody(t *testing.T) {
	var password string
	f := &fake{bind: func(_, given string) (uint16, string) { password = given; return 0, "" }}
	d := openDirectory(t, f.start(t))
	_, err := authenticate(t, d, "mallory", "what the client typed")
	wantCause(t, err, auth.CauseNoSuchAccount)
	names := f.boundBy()
	if len(names) != 1 || strings.Contains(names[0], "mallory") || !strings.HasSuffix(names[0], ",DC=corp,DC=example,DC=com") {
		t.Errorf("bound %q", names)
	}
	if password == "" || strings.Contains(password, "client typed") {
		t.Errorf("with the password %q", password)
	}
}

func TestAnswersThatCannotBe(t *testing.T) {
	other := account("objectGUID", "another-one-here")
	for what, test := range map[string]struct {
		search func(string, int, string, []string) ([]*ldap.Entry, uint16)
		cause  auth.Cause
	}{
		"two hits":             {finds(account(), account()), auth.CauseDirectoryAnswer},
		"a group":              {finds(account("sAMAccountType", "268435456")), auth.CauseNotAPerson},
		"no state":             {finds(account("userAccountControl", "")), auth.CauseDirectoryAnswer},
		"no computed state":    {finds(account("msDS-User-Account-Control-Computed", "")), auth.CauseDirectoryAnswer},
		"no expiry":            {finds(account("accountExpires", "")), auth.CauseDirectoryAnswer},
		"no password's age":    {finds(account("pwdLastSet", "")), auth.CauseDirectoryAnswer},
		"no type":              {finds(account("sAMAccountType", "")), auth.CauseNotAPerson},
		"no SID":               {finds(account("objectSid", "")), auth.CauseDirectoryAnswer},
		"a cut SID":            {finds(account("objectSid", fakeSID(1)[:20])), auth.CauseDirectoryAnswer},
		"a cut GUID":           {finds(account("objectGUID", "short")), auth.CauseDirectoryAnswer},
		"no number":            {finds(account("userAccountControl", "0x200")), auth.CauseDirectoryAnswer},
		"no groups":            {finds(account("tokenGroups", "")), auth.CauseDirectoryAnswer},
		"a cut group":          {finds(account("tokenGroups", "S-1-5-32")), auth.CauseDirectoryAnswer},
		"disabled":             {finds(account("userAccountControl", "514")), auth.CauseDisabled},
		"locked":               {finds(account("msDS-User-Account-Control-Computed", "16")), auth.CauseLockedOut},
		"must change":          {finds(account("pwdLastSet", "0")), auth.CauseMustChange},
		"password expired":     {finds(account("msDS-User-Account-Control-Computed", "8388608")), auth.CausePasswordExpired},
		"expired":              {finds(account("accountExpires", "133500000000000000")), auth.CauseAccountExpired},
		"never, by 0":          {finds(account("accountExpires", "0")), auth.CauseNone},
		"service's password":   {finds(account("pwdLastSet", "0", "userAccountControl", "66048")), auth.CauseNone},
		"a referral":           {code(ldap.LDAPResultReferral), auth.CauseDirectoryAnswer},
		"no rights":            {code(ldap.LDAPResultInsufficientAccessRights), auth.CauseDirectoryAnswer},
		"no such base":         {code(ldap.LDAPResultNoSuchObject), auth.CauseNoSuchAccount},
		"busy":                 {code(ldap.LDAPResultBusy), auth.CauseDirectoryDown},
		"a result of no kind":  {code(127), auth.CauseDirectoryAnswer},
		"another one by GUID":  {byScope(account(), other), auth.CauseIdentityMismatch},
		"another SID by GUID":  {byScope(account(), account("objectSid", fakeSID(9))), auth.CauseIdentityMismatch},
		"gone after the bind":  {byScope(account(), nil), auth.CauseNoSuchAccount},
		"renamed since":        {byScope(account(), renamed()), auth.CauseIdentityMismatch},
		"too many of one name": {finds(slices.Repeat([]*ldap.Entry{account()}, mostEntries+1)...), auth.CauseDirectoryAnswer},
	} {
		t.Run(what, func(t *testing.T) {
			f := &fake{search: test.search}
			_, err := authenticate(t, openDirectory(t, f.start(t)), "alice", "secret")
			if test.cause == auth.CauseNone {
				must(t, err)
				return
			}
			wantCause(t, err, test.cause)
		})
	}
}

func code(c uint16) func(string, int, string, []string) ([]*ldap.Entry, uint16) {
	return func(string, int, string, []string) ([]*ldap.Entry, uint16) { return nil, c }
}

// byScope answers the look-up with one entry and the read by GUID with another.
func byScope(found, loaded *ldap.Entry) func(string, int, string, []string) ([]*ldap.Entry, uint16) {
	return func(_ string, scope int, filter string, _ []string) ([]*ldap.Entry, uint16) {
		switch {
		case strings.Contains(filter, "objectSid="):
			return nil, 0
		case scope == ldap.ScopeWholeSubtree:
			return []*ldap.Entry{found}, 0
		case loaded == nil:
			return nil, ldap.LDAPResultNoSuchObject
		default:
			return []*ldap.Entry{loaded}, 0
		}
	}
}

func renamed() *ldap.Entry {
	e := account()
	e.DN = "CN=Somebody Else,OU=People,DC=corp,DC=example,DC=com"
	return e
}

func TestReferencesAreNotFollowed(t *testing.T) {
	asked := make(chan struct{}, 1)
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := trap.Accept(); err == nil {
			asked <- struct{}{}
			_ = conn.Close()
		}
	}()
	f := &fake{search: finds(account())}
	f.raw = func(conn net.Conn, id int64, op ber.Tag) bool {
		if op == ldap.ApplicationSearchRequest { // a reference before the answer that follows
			_, _ = conn.Write(reference(id, "ldap://"+trap.Addr().String()+"/DC=evil"))
		}
		return false
	}
	_, err = authenticate(t, openDirectory(t, f.start(t)), "alice", "secret")
	must(t, err)
	must(t, trap.Close())
	<-done
	if len(asked) != 0 {
		t.Error("a referral was followed")
	}
}

func TestStreamsThatAreNoAnswer(t *testing.T) {
	const timeout = 400 * time.Millisecond
	endlessEntry := entryBytes(2, account())
	for what, raw := range map[string]func(net.Conn, int64){
		"garbage":          func(c net.Conn, _ int64) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"zeros":            func(c net.Conn, _ int64) { _, _ = c.Write(make([]byte, 4096)) },
		"silence":          func(net.Conn, int64) {},
		"the end":          func(c net.Conn, _ int64) { _ = c.Close() },
		"half an answer":   func(c net.Conn, id int64) { _, _ = c.Write(result(id, 5, 0, "")[:6]); _ = c.Close() },
		"another's answer": func(c net.Conn, id int64) { _, _ = c.Write(result(id+7, 5, 0, "")) },
		"2 GB claimed": func(c net.Conn, _ int64) {
			_, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
		},
		"deep nesting": func(c net.Conn, _ int64) {
			_, _ = c.Write([]byte(strings.Repeat("\x30\x80", 100000)))
		},
		"endless entries": func(c net.Conn, id int64) {
			endless := entryBytes(id, account())
			for {
				if _, err := c.Write(endless); err != nil {
					return
				}
			}
		},
		"an endless string": func(c net.Conn, _ int64) {
			_, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
			for block := make([]byte, 64<<10); ; {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		},
		"a drip": func(c net.Conn, _ int64) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for _, b := range slices.Repeat(endlessEntry, 1000) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-tick.C
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			f := &fake{}
			f.raw = func(conn net.Conn, id int64, op ber.Tag) bool {
				if op == ldap.ApplicationSearchRequest {
					raw(conn, id)
					return true
				}
				return false
			}
			o := f.start(t)
			o.Timeout = timeout
			start := time.Now()
			_, err := openDirectory(t, o).Lookup(t.Context(), "alice")
			var failed *auth.Failure
			if !errors.As(err, &failed) || failed.Cause != auth.CauseDirectoryDown && failed.Cause != auth.CauseDirectoryAnswer {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > 2*timeout+500*time.Millisecond {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestTokenGroupsInParts(t *testing.T) {
	const groups = 250
	var all []string
	for i := range groups {
		all = append(all, fakeSID(2000+i))
	}
	e := account("tokenGroups", "")
	e.Attributes = append(e.Attributes, ldap.NewEntryAttribute("tokenGroups;range=0-99", all[:100]))
	f := &fake{}
	largest := 0
	f.search = func(_ string, scope int, filter string, attributes []string) ([]*ldap.Entry, uint16) {
		switch {
		case strings.Contains(filter, "objectSid="):
			largest = max(largest, strings.Count(filter, "objectSid="))
			return nil, 0
		case scope == ldap.ScopeBaseObject && len(attributes) == 1:
			from, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(attributes[0], "tokenGroups;range="), "-*"))
			name, to := "tokenGroups;range="+strconv.Itoa(from)+"-*", groups
			if from+100 < groups {
				to = from + 100
				name = "tokenGroups;range=" + strconv.Itoa(from) + "-" + strconv.Itoa(to-1)
			}
			return []*ldap.Entry{{DN: fakeDN, Attributes: []*ldap.EntryAttribute{ldap.NewEntryAttribute(name, all[from:to])}}}, 0
		default:
			return []*ldap.Entry{e}, 0
		}
	}
	id, err := openDirectory(t, f.start(t)).Lookup(t.Context(), "alice")
	must(t, err)
	if len(id.Groups) != groups || id.Groups[groups-1].SID != "S-1-5-21-1-2-3-2249" || id.Groups[0].Name != "" {
		t.Errorf("%d groups", len(id.Groups))
	}
	if largest > chunk {
		t.Errorf("a filter for %d groups", largest)
	}
}
