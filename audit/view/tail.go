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
	s, err := openLast(ctx, w, &o)
	if s == nil {
		return err
	}
	defer s.reader.Close()
	if err != nil {
		return errors.Join(err, s.out.end(), s.warn())
	}
	if o.Follow {
		err = s.follow(ctx)
	}
	return errors.Join(err, s.out.end(), s.warn())
}

// openLast shows the last o.Lines of what there is. It looks at the last hour
// first, and further back only where that has too few.
func openLast(ctx context.Context, w io.Writer, o *TailOptions) (*show, error) {
	n := max(0, o.Lines)
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour, 0} {
		var since time.Time
		if back > 0 {
			since = time.Now().Add(-back)
		}
		if since.Before(o.Filter.Since) {
			since, back = o.Filter.Since, 0
		}
		s, err := openSince(w, &o.Options, since)
		if err != nil {
			return nil, err
		}
		ring, err := s.last(ctx, n)
		if err == nil && len(ring) < n && back > 0 {
			_ = s.reader.Close()
			continue
		}
		for _, r := range ring {
			err = errors.Join(err, s.out.add(r, true))
		}
		return s, err
	}
	return nil, nil // not reached: the last round looks at everything
}

// last returns the last n chosen records of what there is, and those before
// damage together with the error.
func (s *show) last(ctx context.Context, n int) ([]*journal.Record, error) {
	var ring []*journal.Record
	at := 0 // of the oldest in ring
	for {
		r, err := s.reader.Next()
		if errors.Is(err, io.EOF) || err == nil && ctx.Err() != nil {
			err = nil
			r = nil
		}
		switch {
		case r == nil:
			return append(ring[at:len(ring):len(ring)], ring[:at]...), err
		case n == 0 || !s.filter.Match(r):
		case len(ring) < n:
			ring = append(ring, r)
		default:
			ring[at] = r
			at = (at + 1) % n
		}
	}
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
