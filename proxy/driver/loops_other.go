//go:build !linux

package driver

import (
	"context"
	"errors"
)

// Loops are event loops, which Linux alone has here.
type Loops struct{}

// OpenLoops fails: sessions are driven by goroutines.
func OpenLoops(int) (*Loops, error) {
	return nil, errors.New("event loops need Linux: choose the driver \"goroutine\"")
}

// Close implements io.Closer.
func (*Loops) Close() error { return nil }

// Relieve does nothing.
func (*Loops) Relieve(int) {}

type place struct{}

func (*Relay) enterLoop(func(func() (Cause, error))) bool { return false }

func (*Relay) leaveLoop() {}

// CatchUp does nothing: a goroutine is woken by what comes.
func (*Relay) CatchUp(context.Context) {}
