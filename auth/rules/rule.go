package rules

import (
	"net/netip"
	"regexp"

	"github.com/pgcustos/pgcustos/auth"
)

// Rule gives a grant to whoever meets all of its conditions. A condition that
// is empty is not met, but for Kinds, Methods, Assurance and Reason, whose
// absence asks for nothing.
type Rule struct {
	Name      string
	Groups    []string // any of them: name (auth.Group.Name), DN or SID
	Accounts  []string // any of them: name (auth.Identity.Handle), UPN or SID; beside Groups, either will do
	Databases []string // any of them; "*" for every one
	Sources   []netip.Prefix
	Methods   []auth.Method
	Assurance []string // any of these SIDs in the client's ticket: S-1-5-65-1 is a log-on by smart card
	Kinds     []auth.Kind
	Reason    *regexp.Regexp // the reason that must be given; nil where none is asked for
	// Justification says why the sources are as broad as they are. It is for
	// those who review the rules.
	Justification string
	Grant         auth.Grant // Rule and Group are filled in by the choice
}
