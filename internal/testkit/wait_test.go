package testkit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := timeout(t, time.Second)
		tries := 0
		err := WaitFor(ctx, func() error {
			if tries++; tries < 5 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || tries != 5 {
			t.Errorf("%v after %d tries", err, tries)
		}
		last := errors.New("never")
		if err := WaitFor(ctx, func() error { return last }); !errors.Is(err, last) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		tries = 0
		err = WaitFor(t.Context(), func() error { tries++; return fmt.Errorf("%w: gone", ErrGiveUp) })
		if !errors.Is(err, ErrGiveUp) || tries != 1 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

func timeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
