package kerberos

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

const (
	// mostReplays bounds what is remembered in all, mostReplaysEach of one client:
	// nobody is to fill the memory for others.
	mostReplays     = 1 << 18
	mostReplaysEach = 1 << 13
)

const sumSize = sha256.Size

type sums map[[sumSize]byte]struct{}

// Replays remembers the authenticators that were accepted, until they are too old
// to be accepted again. It is safe for concurrent use.
//
// It knows nothing of what was accepted before it was made: an authenticator from
// before that time is refused.
type Replays struct {
	since time.Time

	mu sync.Mutex
	// Two generations, each for as long as an authenticator can be accepted: one
	// that can still be replayed is in the one or the other.
	young, old sums
	each       map[string]int // by client, in the young generation
	turned     time.Time
}

// NewReplays makes an empty cache. There is one in a process.
func NewReplays() *Replays { return newReplays(time.Now()) }

func newReplays(now time.Time) *Replays {
	return &Replays{
		since: now, turned: now,
		young: make(sums), each: make(map[string]int),
	}
}

// add remembers an authenticator, unless it is there: looking and adding are one
// step. The cipher stands for it: it begins with random bytes, and nobody
// can change it who does not know the session's key.
func (r *Replays) add(cipher []byte, client string, made, now time.Time) error {
	sum := sha256.Sum256(cipher)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	_, inYoung := r.young[sum]
	_, inOld := r.old[sum]
	switch {
	case inYoung || inOld:
		return refusal(auth.CauseTicketReplayed, "the authenticator was used before")
	case made.Before(r.since):
		return refusal(auth.CauseTicketReplayed, "the authenticator is older than the proxy's memory of used ones, which began at %s",
			r.since.UTC().Format(time.RFC3339))
	case len(r.young) >= mostReplays || r.each[client] >= mostReplaysEach:
		return refusal(auth.CauseTooManyAttempts, "too many log-ins in %s", 2*skew)
	}
	r.young[sum] = struct{}{}
	r.each[client]++
	return nil
}

// turn begins a new generation when it is time. An authenticator is accepted
// from skew before the time that it bears to skew after.
func (r *Replays) turn(now time.Time) {
	for now.Sub(r.turned) >= 2*skew {
		if now.Sub(r.turned) >= 4*skew {
			r.young = make(sums)
		}
		r.old, r.young = r.young, make(sums)
		clear(r.each)
		r.turned = now
	}
}
