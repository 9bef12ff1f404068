package statement

import "slices"

// line is who waits for a worker: principals in turn, and of each principal the
// first that came. So whoever sends many slow texts waits behind his own, and
// anybody else for one of them at most. It is guarded by the pool.
type line struct {
	turns []string // principals that wait, the next one first
	waits map[string][]chan *worker
	size  int
}

// join takes a place. A worker, or nil when there is no hope, comes through it.
func (l *line) join(principal string) chan *worker {
	c := make(chan *worker, 1)
	if l.waits == nil {
		l.waits = map[string][]chan *worker{}
	}
	if len(l.waits[principal]) == 0 {
		l.turns = append(l.turns, principal)
	}
	l.waits[principal] = append(l.waits[principal], c)
	l.size++
	return c
}

// next takes out whose turn it is, nil when nobody waits.
func (l *line) next() chan *worker {
	if len(l.turns) == 0 {
		return nil
	}
	principal := l.turns[0]
	l.turns = l.turns[1:]
	c := l.waits[principal][0]
	if l.shorten(principal, l.waits[principal][1:]) {
		l.turns = append(l.turns, principal)
	}
	return c
}

// leave gives a place back, if it still is one.
func (l *line) leave(principal string, c chan *worker) {
	i := slices.Index(l.waits[principal], c)
	if i < 0 {
		return
	}
	if !l.shorten(principal, slices.Delete(l.waits[principal], i, i+1)) {
		l.turns = slices.DeleteFunc(l.turns, func(p string) bool { return p == principal })
	}
}

// shorten replaces a principal's places by those that are left, and tells if
// there are any.
func (l *line) shorten(principal string, left []chan *worker) bool {
	l.size--
	if len(left) == 0 {
		delete(l.waits, principal)
		return false
	}
	l.waits[principal] = left
	return true
}
