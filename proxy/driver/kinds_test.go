package driver

import (
	"testing"

	"github.com/pgcustos/pgcustos/proxy/handover"
)

// kind is a driver: the loops that drive, or none.
type kind struct {
	name    string
	loops   *Loops
	version uint16 // of TLS, at most; 0 for any
}

// kinds are all drivers that there are on this system, the reference first.
func kinds(tb testing.TB) []kind {
	tb.Helper()
	list := []kind{{name: "goroutine"}}
	loops, err := OpenLoops(2)
	if err != nil {
		return list
	}
	tb.Cleanup(func() { _ = loops.Close() })
	return append(list, kind{name: "epoll", loops: loops})
}

// make is New for a driver of that kind.
func (d kind) make(o Options) *Relay {
	o.Loops = d.loops
	if handover.Of(o.Client) == nil {
		o.Client, o.Backend = handover.New(o.Client), handover.New(o.Backend)
	}
	return New(o)
}
