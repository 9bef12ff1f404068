package directory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// The attributes of an account that are read: what it is and how it fares.
var accountAttributes = []string{
	"objectGUID", "objectSid", "sAMAccountName", "sAMAccountType", "userPrincipalName", "uSNChanged",
	"userAccountControl", "msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet",
}

// SAM_NORMAL_USER_ACCOUNT of sAMAccountType (MS-SAMR section 2.2.1.9): people and
// services, but neither computers, managed service accounts, trusts nor groups.
const normalUser = 0x30000000

// Bits of userAccountControl and msDS-User-Account-Control-Computed (MS-ADTS
// sections 2.2.16 and 3.1.1.4.5.17).
const (
	uacDisabled        = 0x2
	uacLockedOut       = 0x10
	uacNeverExpires    = 0x10000 // the password
	uacSmartcard       = 0x40000
	uacPasswordExpired = 0x800000
)

// find looks for the one account that the name stands for. The failure is
// CauseNoSuchAccount, CauseNotAPerson, CauseDirectoryAnswer where there are
// several, or CauseDirectoryDown.
func (d *Directory) find(ctx context.Context, c *conn, n name) (auth.Identity, error) {
	entries, err := d.search(ctx, c, d.base, ldap.ScopeWholeSubtree, n.filter(), accountAttributes)
	if err != nil {
		return auth.Identity{}, err
	}
	var users []*ldap.Entry
	for _, e := range entries {
		if isUser(e) {
			users = append(users, e)
		}
	}
	switch {
	case len(users) == 1:
		return d.identity(users[0])
	case len(users) > 1:
		return auth.Identity{}, &auth.Failure{
			Cause:  auth.CauseDirectoryAnswer,
			Detail: clip(fmt.Sprintf("the name stands for %d accounts: %s; %s", len(users), users[0].DN, users[1].DN)),
		}
	case len(entries) > 0:
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNotAPerson, Detail: clip(entries[0].DN)}
	default:
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "no account of that name"}
	}
}

// load reads an account by its GUID, with its groups.
func (d *Directory) load(ctx context.Context, c *conn, guid string) (auth.Identity, error) {
	if err := checkGUID(guid); err != nil {
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: err.Error(), Err: err}
	}
	dn := "<GUID=" + guid + ">"
	entries, err := d.search(ctx, c, dn, ldap.ScopeBaseObject, "(objectClass=*)", append([]string{tokenGroups}, accountAttributes...))
	if err != nil {
		return auth.Identity{}, err
	}
	if len(entries) != 1 {
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "no account of that GUID"}
	}
	if !isUser(entries[0]) {
		return auth.Identity{}, &auth.Failure{Cause: auth.CauseNotAPerson, Detail: clip(entries[0].DN)}
	}
	id, err := d.identity(entries[0])
	if err != nil {
		return id, err
	}
	if !strings.EqualFold(id.GUID, guid) {
		return id, &auth.Failure{Cause: auth.CauseIdentityMismatch, Detail: "the directory answered with another account", Identity: id}
	}
	id.Groups, err = d.groups(ctx, c, entries[0])
	return id, err
}

// mostEntries bounds what one search may find. It is more than any that is made
// here can.
const mostEntries = 200

// search runs one search. Referrals are neither asked for nor followed.
func (d *Directory) search(ctx context.Context, c *conn, base string, scope int, filter string, attributes []string) ([]*ldap.Entry, error) {
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, mostEntries,
		max(1, int(d.options.Timeout/time.Second)), false, filter, attributes, nil)
	request.EnforceSizeLimit = true
	var result *ldap.SearchResult
	tooMany := false
	err := c.do(ctx, d.options.Timeout, func(l *ldap.Conn) error {
		var err error
		result, err = l.Search(request)
		if tooMany = errors.Is(err, ldap.ErrSizeLimitExceeded); tooMany {
			return nil
		}
		return err
	})
	var gone *unreachable
	var answer *ldap.Error
	switch {
	case tooMany:
		c.broken = true // the rest of the entries is still to come
		return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: fmt.Sprintf("more than %d entries were found", mostEntries)}
	case err == nil:
		return result.Entries, nil
	case errors.As(err, &gone):
		return nil, err
	case !errors.As(err, &answer):
		return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(err.Error()), Err: err}
	}
	switch answer.ResultCode {
	case ldap.LDAPResultNoSuchObject:
		return nil, nil
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded:
		return nil, &unreachable{err}
	default:
		return nil, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(err.Error()), Err: err}
	}
}

func isUser(e *ldap.Entry) bool {
	kind, err := strconv.ParseInt(e.GetEqualFoldAttributeValue("sAMAccountType"), 10, 64)
	return err == nil && kind == normalUser
}

// identity makes an Identity, without groups, of what was read. What the
// directory does not let the reading account see refuses: an account whose
// state is unknown is not in order.
func (d *Directory) identity(e *ldap.Entry) (auth.Identity, error) {
	f := fields{entry: e}
	id := auth.Identity{
		Account: f.text("sAMAccountName"),
		UPN:     strings.ToLower(e.GetEqualFoldAttributeValue("userPrincipalName")),
		Domain:  d.options.Domain,
		DN:      e.DN,
		SID:     f.binary("objectSid", sidText),
		GUID:    f.binary("objectGUID", guidText),
		Kind:    auth.Person,
		USN:     uint64(f.number("uSNChanged")),
	}
	id.Expires = ntTime(f.number("accountExpires"))
	id.State = f.state(id.Expires, d.now())
	if service, declared := d.options.Services[strings.ToLower(id.Account)]; declared {
		id.Kind, id.Owner = auth.Service, service.Owner
	}
	if f.err != nil {
		return id, &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(e.DN + ": " + f.err.Error()), Err: f.err, Identity: id}
	}
	return id, nil
}

// fields reads attributes and keeps the first error.
type fields struct {
	entry *ldap.Entry
	err   error
}

func (f *fields) text(attribute string) string {
	value := f.entry.GetEqualFoldAttributeValue(attribute)
	if value == "" && f.err == nil {
		f.err = fmt.Errorf("%s is missing: may the reading account read it?", attribute)
	}
	return value
}

func (f *fields) number(attribute string) int64 {
	text := f.text(attribute)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s is no number: %q", attribute, text)
	}
	return n
}

func (f *fields) binary(attribute string, decode func([]byte) (string, error)) string {
	s, err := decode(f.entry.GetEqualFoldRawAttributeValue(attribute))
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", attribute, err)
	}
	return s
}

func (f *fields) state(expires, now time.Time) auth.State {
	control := f.number("userAccountControl")
	computed := f.number("msDS-User-Account-Control-Computed")
	lastSet := f.number("pwdLastSet")
	var s auth.State
	for _, bit := range []struct {
		set   bool
		state auth.State
	}{
		{control&uacDisabled != 0, auth.Disabled},
		{computed&uacLockedOut != 0, auth.LockedOut},
		{computed&uacPasswordExpired != 0, auth.PasswordExpired},
		{!expires.IsZero() && !expires.After(now), auth.AccountExpired},
		{lastSet == 0 && control&(uacNeverExpires|uacSmartcard) == 0, auth.MustChange},
	} {
		if bit.set {
			s |= bit.state
		}
	}
	return s
}

// ntTime reads a number of 100 ns since 1601; 0 and the largest number, both of
// which stand for never, become the zero time (MS-ADA1 section 2.4).
func ntTime(ticks int64) time.Time {
	const toUnix = 11644473600 // seconds from 1601 to 1970
	if ticks <= 0 || ticks == math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(ticks/1e7-toUnix, ticks%1e7*100).UTC()
}
