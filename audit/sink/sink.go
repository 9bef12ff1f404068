package sink

import (
	"context"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// Sink is where records go. Its Runner calls it from one goroutine.
type Sink interface {
	// Deliver hands records over, in the order of each stream, and returns nil
	// only when they are acknowledged as far as the sink can tell. After an error
	// any part of them may have arrived; the same records come again. It keeps no
	// reference to them.
	Deliver(ctx context.Context, records []*journal.Record) error
	// Close gives back what is open. A later Deliver opens it again.
	Close() error
}

// Keeper is a Sink that keeps positions itself. What it says counts; the Runner's
// own files then only tell what the sink has.
type Keeper interface {
	Sink
	// Positions returns what the sink has of this node's streams.
	Positions(ctx context.Context) (Positions, error)
}

// Positions tell how far records were delivered.
type Positions struct {
	// Since is a time before which nothing is left to deliver in the streams
	// that are named.
	Since time.Time
	// Streams holds the sequence number of the last record delivered.
	Streams map[string]uint64
}

// Observer counts what a Runner does. It must be safe for concurrent use.
type Observer interface {
	Delivered(records int)
	Failed()
}

type blind struct{}

func (blind) Delivered(int) {}
func (blind) Failed()       {}
