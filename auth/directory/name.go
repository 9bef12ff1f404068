package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/auth"
)

// longestName bounds a name that a client gives, in bytes. sAMAccountName has at
// most 256 characters, of which user accounts use 20 (MS-ADA3 section 2.222).
const longestName = 256

// name is what a client calls itself, taken apart.
type name struct {
	// account is the sAMAccountName to look for; empty for none.
	account string
	// upn is the userPrincipalName to look for; empty for none.
	upn string
}

// parseName understands alice, alice@corp.example.com and CORP\alice. Anything
// that could not name an account of this domain is refused here, before the
// directory hears of it.
func (d *Directory) parseName(s string) (name, *auth.Failure) {
	if detail := malformed(s); detail != "" {
		return name{}, &auth.Failure{Cause: auth.CauseMalformedName, Detail: detail}
	}
	if netbios, account, found := strings.Cut(s, `\`); found {
		switch {
		case account == "" || netbios == "" || strings.ContainsAny(account, `\@`):
			return name{}, &auth.Failure{Cause: auth.CauseMalformedName, Detail: "neither alice, alice@domain nor DOMAIN\\alice"}
		case lower(netbios) != lower(d.options.NetBIOS):
			return name{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "a name of another domain"}
		}
		return name{account: account}, nil
	}
	account, suffix, found := strings.Cut(s, "@")
	switch {
	case !found:
		return name{account: s, upn: s + "@" + d.options.Domain}, nil
	case account == "" || suffix == "" || strings.Contains(suffix, "@"):
		return name{}, &auth.Failure{Cause: auth.CauseMalformedName, Detail: "neither alice, alice@domain nor DOMAIN\\alice"}
	case !d.hasSuffix(suffix):
		return name{}, &auth.Failure{Cause: auth.CauseNoSuchAccount, Detail: "a name of another domain"}
	case lower(suffix) != lower(d.options.Domain):
		return name{upn: s}, nil
	}
	// Each account also answers to sAMAccountName@domain, whatever its
	// userPrincipalName is (MS-ADTS section 5.1.1.1.1).
	return name{account: account, upn: s}, nil
}

// malformed says what is wrong with a name, or nothing.
func malformed(s string) string {
	switch {
	case s == "":
		return "the name is empty"
	case len(s) > longestName:
		return "the name is too long"
	case !utf8.ValidString(s):
		return "the name is not UTF-8"
	case strings.TrimSpace(s) != s:
		// The directory ignores spaces at the ends, records and rules would not.
		return "the name begins or ends with a space"
	}
	for _, r := range s {
		// Also what is invisible or turns the direction of writing: such a name
		// would not read in a record as what it is.
		if !unicode.IsGraphic(r) {
			return "the name holds a character that cannot be printed"
		}
	}
	return ""
}

// filter finds the accounts that the name can stand for.
func (n name) filter() string {
	switch {
	case n.upn == "":
		return "(sAMAccountName=" + escape(n.account) + ")"
	case n.account == "":
		return "(userPrincipalName=" + escape(n.upn) + ")"
	}
	return "(|(sAMAccountName=" + escape(n.account) + ")(userPrincipalName=" + escape(n.upn) + "))"
}
