package sink

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
)

// backoff is the pause between tries: it doubles, and half of it is chance, so
// that replicas do not come back all at once.
type backoff struct{ pause time.Duration }

func (b *backoff) next() time.Duration {
	b.pause = min(max(firstPause, 2*b.pause), longestPause)
	return b.pause/2 + rand.N(b.pause/2+1)
}

func (b *backoff) reset() { b.pause = 0 }
