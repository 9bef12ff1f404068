package auth

import (
	"slices"
	"time"
)

// Identity is one account of the directory, as it was read at one moment. It is
// keyed by GUID and SID; the names are for people (invariant 3).
type Identity struct {
	Account string // sAMAccountName
	UPN     string // userPrincipalName, lower case
	Domain  string // DNS name of the domain
	NetBIOS string // NetBIOS name of the domain
	// Qualified tells that a name without a domain means another one's account.
	Qualified bool
	DN        string // distinguishedName
	SID       string // objectSid, S-1-5-…
	GUID      string // objectGUID, in the form 8-4-4-4-12
	Kind      Kind
	Owner     string // the human who answers for a service
	Terms     *Terms // of a declared service; nil for everybody else
	Groups    []Group
	State     State
	// CardNeeded tells that the domain lets the account log on with a smart card alone.
	CardNeeded bool
	// Expires is when accountExpires ends the account; zero for never.
	Expires time.Time
	// PasswordSet is when the password was set; zero where it has to be changed.
	PasswordSet time.Time
	// USN is uSNChanged at the controller that was asked.
	USN uint64
	// Read is when the directory was asked: the account is at least as new.
	Read time.Time
	// Unheard are the other domains, by DNS name, that could not be asked for groups
	// of theirs that the account is in.
	Unheard []string
}

// Key tells accounts apart: no two share one, whatever names and GUIDs a domain
// gives to its own.
func (id *Identity) Key() string { return id.Domain + "/" + id.GUID }

// Handle is the name by which rules, services and operators mean the account:
// alice, or, where that is somebody else's in another domain, OTHER\alice.
func (id *Identity) Handle() string {
	if id.Qualified {
		return id.NetBIOS + `\` + id.Account
	}
	return id.Account
}

// Name returns the name that people know the account by: its UPN, or, where it has
// none, account@domain.
func (id *Identity) Name() string {
	if id.UPN != "" {
		return id.UPN
	}
	return id.Account + "@" + id.Domain
}

// Matches reports whether spec, by its form a SID, UPN or name, is that of the account.
func (id *Identity) Matches(spec string) bool {
	switch {
	case isSID(spec):
		return SameName(id.SID, spec)
	case isUPN(spec):
		return SameName(id.UPN, spec)
	default:
		return spec != "" && SameName(id.Handle(), spec)
	}
}

// Called reports whether a name, in any of the forms that people use, is the account's.
func (id *Identity) Called(name string) bool {
	names := []string{id.Handle(), id.Name(), id.Account + "@" + id.Domain, id.SID, id.GUID}
	if id.NetBIOS != "" {
		names = append(names, id.NetBIOS+`\`+id.Account)
	}
	return slices.ContainsFunc(names, func(own string) bool { return own != "" && SameName(own, name) })
}

// Restricts returns the cause why nobody logs in to the account by a method, or CauseNone.
func (id *Identity) Restricts(m Method) (Cause, string) {
	if id.CardNeeded && m == Password {
		return CauseRestricted, "the account needs a smart card: it gets in by ticket or certificate"
	}
	return CauseNone, ""
}

// Group is a group that an identity is in, directly or through others.
type Group struct {
	SID string
	// Name is the sAMAccountName, with the domain's where a name without one means
	// another domain's group: OTHER\Staff. It is empty where the SID did not resolve.
	Name   string
	DN     string
	Domain string // DNS name of the domain that told of it; empty where the SID did not resolve
}

// Matches reports whether spec, by its form a SID, DN or name, is that of the group.
func (g Group) Matches(spec string) bool {
	switch {
	case isSID(spec):
		return SameName(g.SID, spec)
	case isDN(spec):
		return SameName(g.DN, spec)
	default:
		return spec != "" && SameName(g.Name, spec)
	}
}

// Kind tells people from services.
type Kind string

// The kinds of identity.
const (
	Person  Kind = "person"
	Service Kind = "service"
)

// Method is how a client proved who it is.
type Method string

// The methods.
const (
	Password    Method = "password"
	Kerberos    Method = "kerberos"
	Certificate Method = "certificate"
)

// State is what the directory says of an account, apart from its existence.
type State uint8

// The bits of State; none is set for an account in good order.
const (
	Disabled        State = 1 << iota // userAccountControl ACCOUNTDISABLE
	LockedOut                         // msDS-User-Account-Control-Computed LOCKOUT
	PasswordExpired                   // msDS-User-Account-Control-Computed PASSWORD_EXPIRED
	AccountExpired                    // accountExpires has passed
	MustChange                        // pwdLastSet is 0
	ServiceExpired                    // its declaration has
	PasswordTooOld                    // for its declaration
	OutsideHours                      // logonHours have not this hour
)

// Barred returns the cause that keeps an account in this state out, or
// CauseNone.
func (s State) Barred() Cause {
	switch {
	case s&Disabled != 0:
		return CauseDisabled
	case s&AccountExpired != 0:
		return CauseAccountExpired
	case s&LockedOut != 0:
		return CauseLockedOut
	case s&MustChange != 0:
		return CauseMustChange
	case s&PasswordExpired != 0:
		return CausePasswordExpired
	case s&ServiceExpired != 0:
		return CauseServiceExpired
	case s&PasswordTooOld != 0:
		return CauseServicePassword
	case s&OutsideHours != 0:
		return CauseLogonHours
	default:
		return CauseNone
	}
}
