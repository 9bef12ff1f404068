package testkit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WaitFor calls try until it returns nil, with a short and growing pause in
// between. When ctx ends first, its error is returned together with the last
// one of try. ErrGiveUp, wrapped by try, ends the wait at once.
func WaitFor(ctx context.Context, try func() error) error {
	const longest = 100 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, longest) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last try said: %w", ctx.Err(), orNone(last))
		case <-timer.C:
		}
		if last = try(); last == nil || errors.Is(last, ErrGiveUp) {
			return last
		}
		timer.Reset(pause)
	}
}

// ErrGiveUp says that waiting any longer is of no use.
var ErrGiveUp = errors.New("given up")

func orNone(err error) error {
	if err == nil {
		return errors.New("nothing, it was never made")
	}
	return err
}
