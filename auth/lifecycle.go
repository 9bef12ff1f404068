package auth

import (
	"context"
	"slices"
	"time"
)

// Watcher follows the accounts of live sessions in a directory.
type Watcher interface {
	// Watch tells the roll what changes, until ctx ends.
	Watch(ctx context.Context, roll Roll)
}

// Silence is a Watcher of several domains.
type Silence interface {
	// Silent tells for how long a domain, by its DNS name, has not answered; 0 for
	// one that does.
	Silent(domain string) time.Duration
}

// Roll is who is in session. A Watcher asks it whom to watch, and tells it what it
// finds.
type Roll interface {
	// Accounts returns the accounts of live sessions, each once: of several readings
	// the oldest that a session rests on. The list is not to be written to.
	Accounts() []Identity
	// Changed tells how an account fares that was read again. Nothing may have
	// changed.
	Changed(Change)
	// Confirmed tells that the accounts with these keys were found as they were.
	Confirmed(keys []string)
}

// Change is what became of an account.
type Change struct {
	Key string // Identity.Key
	// Now is the account as it is, the zero value where Err says why it could not be
	// read. CauseNoSuchAccount stands for one that is gone.
	Now Identity
	Err error
	// Guest is the domain, by its DNS name, whose groups alone were read, for an
	// account of another one: of Now there are these, or Unheard. Empty where the
	// account itself was read: then its groups elsewhere are not among Now's.
	Guest string
	// Since is when the change was noticed; where nothing announced it, the last
	// moment at which it was not there yet.
	Since time.Time
}

// Reaction is what becomes of a live session when something changes.
type Reaction string

// The reactions.
const (
	Keep      Reaction = "keep"      // it goes on
	Narrow    Reaction = "narrow"    // it ends at its next idle point
	Terminate Reaction = "terminate" // it ends at once, what runs is cancelled
)

// Changes say what becomes of the sessions of a grant when the directory changes.
// What is not left to a rule ends them: a disabled, expired or deleted account,
// and one that no rule gives anything to.
type Changes struct {
	AnotherGrant  Reaction // the rules give another role or backend: Terminate or Narrow
	LockedOut     Reaction // too many wrong passwords: Keep or Terminate
	PasswordReset Reaction // or it expired, is too old, has to be changed, or will not do any more: Keep or Terminate
	// Silent is how long sessions go on while no controller answers, by kind of
	// identity; 0 for ever.
	SilentPerson, SilentService time.Duration
}

// Overlook takes from a state what does not end a live session: hours are those of
// log-ins.
func (c *Changes) Overlook(s State) State {
	s &^= OutsideHours
	if c.LockedOut == Keep {
		s &^= LockedOut
	}
	if c.PasswordReset == Keep {
		s &^= PasswordExpired | MustChange | PasswordTooOld
	}
	return s
}

// Silent returns how long a session of that kind of identity goes on while no
// controller answers.
func (c *Changes) Silent(k Kind) time.Duration {
	if k == Service {
		return c.SilentService
	}
	return c.SilentPerson
}

// After returns the account as it is after a change: each domain tells of its own part
// of it.
func (id Identity) After(c *Change) Identity {
	if c.Guest == "" {
		after := c.Now
		after.Unheard = id.Unheard
		after.Groups = slices.Clone(after.Groups)
		for _, g := range id.Groups {
			if g.Domain != "" && g.Domain != after.Domain {
				after.Groups = append(after.Groups, g)
			}
		}
		return after
	}
	id.Groups = append(slices.DeleteFunc(slices.Clone(id.Groups), func(g Group) bool { return g.Domain == c.Guest }), c.Now.Groups...)
	id.Unheard = append(slices.DeleteFunc(slices.Clone(id.Unheard), func(s string) bool { return s == c.Guest }), c.Now.Unheard...)
	return id
}
