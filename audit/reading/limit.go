package reading

import (
	"sync"
	"time"
)

// Bounds on what one user may do.
const (
	perSecond  = 2  // readings, in the long run
	burst      = 20 // readings at once
	concurrent = 2  // connections
	maxUsers   = 256
	maxTotal   = 16 // connections of all users
)

// limiter bounds the readings of each user.
type limiter struct {
	mu    sync.Mutex
	users map[uint32]*account
	total int
}

type account struct {
	tokens float64
	at     time.Time // when tokens was right
	open   int
}

func newLimiter() *limiter { return &limiter{users: map[uint32]*account{}} }

// enter admits one connection of a user, who then has to leave.
func (l *limiter) enter(uid uint32, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.users[uid]
	if a == nil {
		if len(l.users) >= maxUsers {
			l.forget(now)
		}
		if len(l.users) >= maxUsers {
			return false
		}
		a = &account{tokens: burst, at: now}
		l.users[uid] = a
	}
	a.refill(now)
	if a.tokens < 1 || a.open >= concurrent || l.total >= maxTotal {
		return false
	}
	a.tokens--
	a.open++
	l.total++
	return true
}

func (l *limiter) leave(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users[uid].open--
	l.total--
}

// forget drops the users of whom nothing has to be remembered. mu is held.
func (l *limiter) forget(now time.Time) {
	for uid, a := range l.users {
		if a.refill(now); a.open == 0 && a.tokens >= burst {
			delete(l.users, uid)
		}
	}
}

func (a *account) refill(now time.Time) {
	a.tokens = min(burst, a.tokens+perSecond*max(0, now.Sub(a.at).Seconds()))
	a.at = now
}
