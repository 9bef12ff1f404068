package directory

import (
	"context"
	"time"
)

// blurStep is what the time of a refusal is rounded up to.
const blurStep = 100 * time.Millisecond

// blur waits until a refusal has taken a multiple of blurStep. A controller
// takes some milliseconds longer over the wrong password of an account that
// exists (it counts it) than over one that does not.
func blur(ctx context.Context, start time.Time) {
	timer := time.NewTimer(blurStep - time.Since(start)%blurStep)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
