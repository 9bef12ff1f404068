package control

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/services"
)

// What can be asked for.
const (
	Sessions   = "sessions"
	Locks      = "locks"
	Identities = "identities"
	Kill       = "kill"
	Lock       = "lock"
	Unlock     = "unlock"
)

// Request is one line of JSON.
type Request struct {
	Do string `json:"do"`
	auth.Selector
	Reason string `json:"reason,omitempty"`
}

// Answer is one line of JSON.
type Answer struct {
	Error    string         `json:"error,omitempty"`
	Warning  string         `json:"warning,omitempty"`
	Ended    int            `json:"ended,omitempty"`
	Changed  int            `json:"changed,omitempty"` // locks
	Sessions []proxy.Status `json:"sessions,omitempty"`
	Locks    []auth.Lock    `json:"locks,omitempty"`
	// Services are the declared ones.
	Services []services.Status `json:"identities,omitempty"`
}

// Bounds in bytes.
const (
	maxRequest = 64 << 10
	maxAnswer  = 64 << 20
	maxReason  = 1 << 10
	maxName    = 512
)

// mostLocks bounds the locks: each log-in is compared with each.
const mostLocks = 1000

// check tells what is wrong with a request.
func (r *Request) check() error {
	switch r.Do {
	case Sessions, Locks, Identities:
		if r.Selector == (auth.Selector{}) {
			return nil
		}
		return r.Selector.Check()
	case Kill, Lock, Unlock:
	default:
		return fmt.Errorf("%.20q is none of sessions, locks, identities, kill, lock, unlock", r.Do)
	}
	if strings.TrimSpace(r.Reason) == "" {
		return errors.New("give a reason: it is on record")
	}
	if len(r.Reason) > maxReason {
		return fmt.Errorf("the reason is longer than %d bytes", maxReason)
	}
	for _, s := range []string{r.Reason, r.User, r.Role, r.Database, r.Source, r.Session} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return fmt.Errorf("%q holds what cannot be printed", s)
		}
		if len(s) > max(maxName, maxReason) {
			return fmt.Errorf("a name is longer than %d bytes", maxName)
		}
	}
	if r.Do != Kill && r.Session != "" {
		return errors.New("a session is ended, not locked: lock its user, role, database or source")
	}
	return r.Selector.Check()
}
