package auth

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// Selector chooses sessions. All conditions that are given have to hold; without
// any it chooses none, unless it says All.
type Selector struct {
	All      bool   `json:"all,omitempty"`
	User     string `json:"user,omitempty"` // sAMAccountName, DOMAIN\name, UPN, SID or GUID
	Role     string `json:"role,omitempty"` // at the backend
	Database string `json:"database,omitempty"`
	Source   string `json:"source,omitempty"` // an address or a network
	Session  string `json:"session,omitempty"`
	// SID is the account's that User named, where the directory could tell: a lock
	// holds on when it is renamed.
	SID string `json:"sid,omitempty"`
}

// Subject is what a Selector is asked about.
type Subject struct {
	Identity       *Identity
	Role, Database string
	Session        string
	Source         netip.Addr
}

// Check tells what is wrong with a selector.
func (s *Selector) Check() error {
	given := s.User != "" || s.Role != "" || s.Database != "" || s.Source != "" || s.Session != ""
	if given == s.All {
		return errors.New("name what is meant: a user, role, database, source or session, or all of them and nothing else")
	}
	if s.Source != "" {
		if _, err := ipaddr.ParseNetwork(s.Source); err != nil {
			return err
		}
	}
	return nil
}

// Matches reports whether the selector chooses the subject.
func (s *Selector) Matches(x *Subject) bool {
	if s.Check() != nil {
		return false
	}
	if s.Source != "" {
		if network, err := ipaddr.ParseNetwork(s.Source); err != nil || !network.Contains(ipaddr.Plain(x.Source)) {
			return false
		}
	}
	return (s.User == "" || x.Identity.Called(s.User) || s.SID != "" && s.SID == x.Identity.SID) && is(s.Role, x.Role) && is(s.Database, x.Database) && is(s.Session, x.Session)
}

func is(want, got string) bool { return want == "" || want == got }

// String writes the selector as the command line has it: names in quotes where they could
// be read as more than one condition.
func (s *Selector) String() string {
	var parts []string
	if s.All {
		parts = append(parts, "--all")
	}
	for _, p := range []struct{ flag, value string }{
		{"user", s.User}, {"role", s.Role}, {"database", s.Database}, {"source", s.Source}, {"session", s.Session},
	} {
		value := p.value
		if strings.ContainsAny(value, "\" '") {
			value = strconv.Quote(value)
		}
		if value != "" {
			parts = append(parts, "--"+p.flag+"="+value)
		}
	}
	return strings.Join(parts, " ")
}

// Lock keeps what it chooses out until it is taken away.
type Lock struct {
	Selector
	Reason string    `json:"reason"`
	By     string    `json:"by"` // who locked, as the operating system knows them
	At     time.Time `json:"at"`
}
