package auth

import (
	"context"
	"time"
)

// Watcher follows the accounts of live sessions in a directory.
type Watcher interface {
	// Watch tells the roll what changes, until ctx ends.
	Watch(ctx context.Context, roll Roll)
}

// Roll is who is in session. A Watcher asks it whom to watch, and tells it what it
// finds.
type Roll interface {
	// Accounts returns the accounts of live sessions, each once: of several readings
	// the oldest that a session rests on.
	Accounts() []Identity
	// Changed tells how an account fares that was read again. Nothing may have
	// changed.
	Changed(Change)
	// Confirmed tells that the accounts with these GUIDs were found as they were.
	Confirmed(guids []string)
}

// Change is what became of an account.
type Change struct {
	GUID string
	// Now is the account as it is, the zero value where Err says why it could not be
	// read. CauseNoSuchAccount stands for one that is gone.
	Now Identity
	Err error
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
	PasswordReset Reaction // or it expired, is too old, or has to be changed: Keep or Terminate
	// Silent is how long sessions go on while no controller answers, by kind of
	// identity; 0 for ever.
	SilentPerson, SilentService time.Duration
}

// Overlook takes from a state what does not end a live session.
func (c *Changes) Overlook(s State) State {
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
