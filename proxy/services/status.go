package services

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// Status is how a declared service fared when it was looked at last.
type Status struct {
	Account     string     `json:"account"`
	Domain      string     `json:"domain,omitempty"`
	SID         string     `json:"sid,omitempty"`
	Purpose     string     `json:"purpose"`
	State       string     `json:"state"` // of the account: in good order, quarantined, or the cause that bars it
	Owner       string     `json:"owner"`
	OwnerState  string     `json:"owner_state"`
	OwnerGone   *time.Time `json:"owner_gone,omitempty"` // since when
	Quarantined string     `json:"quarantined,omitempty"`
	Ends        *time.Time `json:"ends,omitempty"`
	DaysLeft    *int       `json:"days_left,omitempty"` // begun ones; 0 when it is over
	LastUse     *time.Time `json:"last_use,omitempty"`
	Sessions    int        `json:"sessions"`
	Rules       []string   `json:"rules,omitempty"`
	Sources     []string   `json:"sources,omitempty"`
	Methods     []string   `json:"methods,omitempty"`
}

// The states of accounts, beside the causes that bar one.
const (
	stateGood        = "in_good_order"
	stateQuarantined = "quarantined"
	stateUnknown     = "unknown" // the directory does not tell
)

func words(state string) string { return strings.ReplaceAll(state, "_", " ") }

// stateOf names what reading an account gave.
func stateOf(id *auth.Identity, err error) string {
	var f *auth.Failure
	switch {
	case err == nil && id.State.Barred() == auth.CauseNone:
		return stateGood
	case err == nil:
		return string(id.State.Barred())
	case errors.As(err, &f) && gone[string(f.Cause)]:
		return string(f.Cause)
	default:
		return stateUnknown
	}
}

// List tells how the services fared when they were looked at last.
func (k *Keeper) List() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.status)
}

func newStatus(account, domain, state, owner string, sessions int, t *auth.Terms, m *remembered) Status {
	s := Status{
		Account: account, Domain: domain, SID: m.SID, Purpose: t.Purpose, State: state, Owner: t.Owner, OwnerState: owner, OwnerGone: moment(m.OwnerGone),
		Quarantined: m.Quarantined, Ends: moment(t.Ends), LastUse: moment(m.LastUse), Sessions: sessions,
		Rules: t.Rules, Sources: texts(t.Sources), Methods: texts(t.Methods),
	}
	if s.Ends != nil {
		days := max(daysUntil(t.Ends), 0)
		s.DaysLeft = &days
	}
	return s
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func texts[T any](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
