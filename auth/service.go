package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// Terms are what a service account is declared with.
type Terms struct {
	Owner   string // the person who answers for it, by any form of the account's name
	Purpose string
	Ends    time.Time      // from when on it may do nothing; zero for never
	Sources []netip.Prefix // where it may come from, within what its rules say; none for anywhere
	Methods []Method       // how it may prove itself; none for any
	Rules   []string       // the only rules that are for it; none for all that are for services
	// PasswordAge is how old its password may get; 0 for any age.
	PasswordAge time.Duration
	// OwnerGone is what becomes of it when its owner is gone for longer than
	// OwnerGrace: Keep, or Terminate.
	OwnerGone  Reaction
	OwnerGrace time.Duration
}

// The causes that keep a service out by its declaration.
const (
	CauseServiceExpired     Cause = "service_expired"
	CauseServicePassword    Cause = "service_password_too_old"
	CauseServiceSource      Cause = "service_source"
	CauseServiceMethod      Cause = "service_method"
	CauseServiceQuarantined Cause = "service_quarantined" // its owner is gone
)

// State says what the declaration adds to the state of an account whose password
// was set at that time; the zero time stands for one that has to be changed.
func (t *Terms) State(passwordSet, now time.Time) (s State) {
	if !t.Ends.IsZero() && !now.Before(t.Ends) {
		s |= ServiceExpired
	}
	if t.PasswordAge > 0 && now.Sub(passwordSet) > t.PasswordAge {
		s |= PasswordTooOld
	}
	return s
}

// Refuses returns the cause why a service may not make the request, whatever the
// rules say, or CauseNone. Without terms there is none.
func (t *Terms) Refuses(r *Request) (Cause, string) {
	switch {
	case t == nil:
	case len(t.Sources) > 0 && !slices.ContainsFunc(t.Sources, func(p netip.Prefix) bool { return p.Contains(ipaddr.Plain(r.Source)) }):
		return CauseServiceSource, fmt.Sprintf("the service is declared to come from %s, not from %s", texts(t.Sources), ipaddr.Plain(r.Source))
	case len(t.Methods) > 0 && !slices.Contains(t.Methods, r.Method):
		return CauseServiceMethod, fmt.Sprintf("the service is declared to prove itself by %s, not by %s", texts(t.Methods), r.Method)
	}
	return CauseNone, ""
}

// Allows reports whether a rule is for the service.
func (t *Terms) Allows(rule string) bool {
	return t == nil || len(t.Rules) == 0 || slices.Contains(t.Rules, rule)
}

// Ends returns when the account ends by itself, and the cause; the zero time for
// never.
func (id *Identity) Ends() (time.Time, Cause) {
	if t := id.Terms; t != nil && !t.Ends.IsZero() && (id.Expires.IsZero() || t.Ends.Before(id.Expires)) {
		return t.Ends, CauseServiceExpired
	}
	return id.Expires, CauseAccountExpired
}

func texts[T any](list []T) string {
	s := fmt.Sprint(list)
	return s[1 : len(s)-1]
}
