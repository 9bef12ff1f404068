package view

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
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
	Lines  int  // records from before, at most; 10 where it is 0, none where it is negative
	Follow bool // go on until the context ends
}

// Tail writes the last records that the filter chooses, and with Follow those
// that come, until ctx ends; that is no error.
func Tail(ctx context.Context, w io.Writer, o TailOptions) error {
	if o.Lines == 0 {
		o.Lines = defaultLines
	}
	s, err := open(w, &o.Options)
	if err != nil {
		return err
	}
	defer s.reader.Close()
	if err := s.last(ctx, max(0, o.Lines)); err != nil {
		return errors.Join(err, s.out.end(), s.warn())
	}
	if o.Follow {
		err = s.follow(ctx)
	}
	return errors.Join(err, s.out.end(), s.warn())
}

// last shows the last n chosen records of what there is.
func (s *show) last(ctx context.Context, n int) error {
	ring := make([]*journal.Record, 0, n)
	kept := 0 // chosen ones met so far
	for {
		r, err := s.reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if n == 0 || !s.filter.Match(r) {
			continue
		}
		if kept++; len(ring) < n {
			ring = append(ring, r)
		} else {
			ring[(kept-1)%n] = r
		}
	}
	for i := range ring {
		at := i
		if kept > n {
			at = (kept + i) % n
		}
		if err := s.out.add(ring[at], true); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) follow(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := s.pump(); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// flush shows what has waited long enough.
func (s *show) flush() error {
	if t, ok := s.out.(*table); ok {
		return t.print(rowsOpen, time.Now().Add(-patience))
	}
	return s.out.end()
}
