package directory

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// Bits of userAccountControl and msDS-User-Account-Control-Computed (MS-ADTS
// sections 2.2.16 and 3.1.1.4.5.17).
const (
	uacDisabled        = 0x2
	uacLockedOut       = 0x10
	uacNeverExpires    = 0x10000 // the password
	uacSmartcard       = 0x40000
	uacPasswordExpired = 0x800000
)

// identity makes an Identity, without groups, of what was read. What the
// directory does not let the reading account see refuses: an account whose
// state is unknown is not in order.
func (d *Directory) identity(e *ldap.Entry) (auth.Identity, error) {
	f := fields{entry: e}
	id := auth.Identity{
		Account: f.text("sAMAccountName"),
		UPN:     auth.FoldName(e.GetEqualFoldAttributeValue("userPrincipalName")),
		Domain:  d.options.Domain,
		NetBIOS: d.options.NetBIOS,
		DN:      e.DN,
		SID:     f.binary("objectSid", sidText),
		GUID:    f.binary("objectGUID", guidText),
		USN:     uint64(f.number("uSNChanged")),
	}
	id.Expires = ntTime(f.number("accountExpires"))
	id.PasswordSet = ntTime(f.number("pwdLastSet"))
	id.State = f.state(id.Expires, d.now())
	id.CardNeeded = f.number("userAccountControl")&uacSmartcard != 0
	d.declare(&id)
	if f.err == nil && d.options.SID != "" {
		f.err = d.confine(&id)
	}
	if f.err != nil {
		failure := &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: clip(e.DN + ": " + f.err.Error()), Err: f.err, Identity: id}
		if foreign := (*auth.Failure)(nil); errors.As(f.err, &foreign) {
			// What it claims to be is somebody else, whom the record is not to name.
			failure.Cause, failure.Identity = foreign.Cause, auth.Identity{}
			id = auth.Identity{}
		}
		return id, failure
	}
	return id, nil
}

// declare enters what an account is declared as.
func (d *Directory) declare(id *auth.Identity) {
	id.Kind, id.Owner, id.Terms = auth.Person, "", nil
	id.State &^= auth.ServiceExpired | auth.PasswordTooOld
	if service, declared := d.options.Services[auth.FoldName(id.Account)]; declared {
		id.Kind, id.Owner, id.Terms = auth.Service, service.Owner, &service
		id.State |= service.State(id.PasswordSet, d.now())
	}
}

// confine takes from an account what its domain has no say in, for other domains
// have: a UPN of theirs is not its name, and an account with a SID or a place of
// theirs is none.
func (d *Directory) confine(id *auth.Identity) error {
	id.Qualified = d.qualified
	if at := strings.LastIndexByte(id.UPN, '@'); !d.hasSuffix(id.UPN[at+1:]) {
		id.UPN = ""
	}
	switch {
	case !d.owns(id.SID):
		return &auth.Failure{Cause: auth.CauseForeignSID, Detail: fmt.Sprintf("the SID %s is not of the domain %s, %s", id.SID, d.options.Domain, d.options.SID)}
	case !d.holds(id.DN):
		return fmt.Errorf("not below %s", d.base)
	case strings.ContainsAny(id.Account, `\@`):
		return fmt.Errorf("sAMAccountName: %q could be read as a name of another domain", id.Account)
	}
	return nil
}

// holds reports whether a DN is one of the domain's own, and not of another one's whose
// name is below its.
func (d *Directory) holds(dn string) bool {
	for _, p := range d.peers {
		if len(p.base) > len(d.base) && below(dn, p.base) {
			return false
		}
	}
	return below(dn, d.base)
}

func below(dn, base string) bool { return strings.HasSuffix(lower(dn), ","+lower(base)) }

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
		{outside(f.entry.GetEqualFoldRawAttributeValue("logonHours"), now), auth.OutsideHours},
	} {
		if bit.set {
			s |= bit.state
		}
	}
	return s
}

// outside reports whether logonHours leave a time out: a bit for each hour of the week, in
// UTC, from Sunday on (MS-ADA1 section 2.381). A controller holds passwords to them, and
// nobody else does tickets and certificates. Most accounts have none.
func outside(hours []byte, now time.Time) bool {
	const week = 7 * 24 / 8
	if len(hours) != week {
		return false
	}
	now = now.UTC()
	hour := int(now.Weekday())*24 + now.Hour()
	return hours[hour/8]&(1<<(hour%8)) == 0
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
