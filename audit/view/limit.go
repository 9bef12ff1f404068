package view

import (
	"errors"
	"fmt"
)

// errEnough ends a query that has shown as many as it was asked for.
var errEnough = errors.New("enough")

// limiter lets the first n pass.
type limiter struct {
	sink
	left int
}

func (l *limiter) put(e *entry) error {
	if l.left == 0 {
		return errEnough
	}
	l.left--
	if err := l.sink.put(e); err != nil {
		return err
	}
	if l.left == 0 {
		return errEnough
	}
	return nil
}

const (
	// MaxReverse bounds Options.Limit where Options.Reverse is set: that many entries
	// are kept.
	MaxReverse    = 100_000
	maxLastWeight = 512 << 20
)

// last keeps the last n, and gives them on at the end.
type last struct {
	next    sink
	n       int
	reverse bool // the newest first
	ring    queue
}

func (l *last) put(e *entry) error {
	if l.n == 0 {
		return nil
	}
	if l.ring.len() == l.n {
		l.ring.pop()
	}
	l.ring.push(e)
	if l.ring.bytes > maxLastWeight {
		return fmt.Errorf("the last %d entries have more than %d MiB of text: ask for fewer", l.ring.len(), maxLastWeight>>20)
	}
	return nil
}

func (l *last) flush() error { return nil }

// release gives on what is kept.
func (l *last) release() error {
	kept := l.ring.entries[l.ring.at:]
	for i := range kept {
		e := kept[i]
		if l.reverse {
			e = kept[len(kept)-1-i]
		}
		if err := l.next.put(e); err != nil {
			return err
		}
	}
	l.ring = queue{}
	return nil
}

func (l *last) end() error {
	if err := l.release(); err != nil {
		return err
	}
	return l.next.end()
}
