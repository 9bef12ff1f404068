package view

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	pollEvery = 100 * time.Millisecond
	// patience is how long a line waits for what came of its statement.
	patience = time.Second
	// defaultLines are shown from before.
	defaultLines = 10
)

// TailOptions are Options with what tail adds.
type TailOptions struct {
	Options
	Lines int // entries from before, at most; 10 where it is 0, none where it is negative
}

// Tail writes the last entries that the filter chooses, and with Follow those that
// come, until ctx ends; that is no error.
func Tail(ctx context.Context, w io.Writer, o TailOptions) error {
	if o.Lines == 0 {
		o.Lines = defaultLines
	}
	out := newPrinter(w, &o.Options)
	s, err := openLast(ctx, out, &o)
	if s == nil {
		return err
	}
	defer s.close()
	if o.Follow && err == nil {
		err = s.follow(ctx)
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return s.finish(err)
}

// openLast shows the last o.Lines of what there is. It looks at the last hour
// first, and further back only where that has too few.
func openLast(ctx context.Context, out sink, o *TailOptions) (*show, error) {
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour, 0} {
		var since time.Time
		if back > 0 {
			since = time.Now().Add(-back)
		}
		if since.Before(o.Filter.Since) {
			since, back = o.Filter.Since, 0
		}
		ring := &last{next: out, n: max(0, o.Lines)}
		s, err := open(&o.Options, since, ring)
		if err != nil {
			return nil, err
		}
		s.join.timed = o.Follow
		err = s.pump(ctx)
		if err == nil && ring.ring.len()+s.join.queue.len() < o.Lines && back > 0 {
			s.close()
			continue
		}
		// What still waits for its outcome belongs to the last lines too.
		for ring.ring.len() > 0 && ring.ring.len()+s.join.queue.len() > max(0, o.Lines) {
			ring.ring.pop()
		}
		s.join.next = out
		return s, errors.Join(err, ring.release())
	}
	return nil, nil // not reached: the last round looks at everything
}

func (s *show) follow(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := s.pump(ctx)
		if err == nil {
			err = s.join.flush(time.Now().Add(-patience))
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return s.reader.Settle()
		case <-tick.C:
		}
	}
}
