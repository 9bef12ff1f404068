package view

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// StoryOptions say which session is told.
type StoryOptions struct {
	Path     string // of the journal
	Session  string // its id
	Color    bool
	Warnings io.Writer // see Options
	Progress io.Writer
}

// ErrNoSession is returned where no record belongs to the session.
var ErrNoSession = errors.New("no record of that session")

// afterEnd is how much of a journal is looked at behind a session's end.
const afterEnd = time.Minute

// Story tells one session: who it was, from where, under which rule, each statement
// with its outcome, transactions as blocks with their fate, the end and the totals.
// It reads from the time on that stands in the id, and everything where nothing is
// found there. A session that has no record is ErrNoSession.
func Story(ctx context.Context, w io.Writer, o StoryOptions) error {
	q := Options{Path: o.Path, Filter: Filter{Session: o.Session}, Warnings: o.Warnings}
	if o.Session == "" {
		return fmt.Errorf("%w: its id is empty", ErrNoSession)
	}
	if o.Progress != nil {
		p := newProgress(o.Progress)
		defer p.clear()
		w, q.Progress = &progressWriter{w, p}, p
	}
	started, ok := sessionTime(o.Session)
	if ok {
		told, err := tell(ctx, w, &o, &q, started.Add(-time.Minute))
		if told || err != nil {
			return err
		}
	}
	told, err := tell(ctx, w, &o, &q, time.Time{})
	if err == nil && !told {
		err = fmt.Errorf("%w: %s", ErrNoSession, neutral(o.Session, 64))
	}
	return err
}

// tell says whether there was something to tell.
func tell(ctx context.Context, w io.Writer, o *StoryOptions, q *Options, since time.Time) (bool, error) {
	t := newTeller(w, o.Color)
	s, err := open(q, since, &loader{t, headText, false})
	if err != nil {
		return false, err
	}
	defer s.close()
	s.enough = func(at time.Time) bool { return !t.over.IsZero() && at.After(t.over.Add(afterEnd)) }
	err = s.each(ctx, func(r *journal.Record) error {
		if s.enough(r.Time) {
			return errEnough
		}
		if r.Type == audit.SessionEnd && s.join.match.record(r) {
			t.over = r.Time
		}
		return s.join.add(r)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return t.entries > 0, errors.Join(err, s.join.end(), s.warn())
}

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// sessionTime reads the time in a session's id: its first 48 bits are milliseconds.
func sessionTime(id string) (time.Time, bool) {
	b, err := crockford.DecodeString(id)
	if err != nil || len(b) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 16)).UTC(), true
}
