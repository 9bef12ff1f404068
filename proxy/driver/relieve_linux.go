package driver

import (
	"cmp"
	"slices"
)

// Relieve ends those sessions that hold most memory, so many of a hundred in each loop and
// one at least: clients that do not read what they asked for, that send what has to be
// held, or that prepare without an end. One that holds little stays.
func (ls *Loops) Relieve(percent int) {
	for _, loop := range ls.loops {
		loop.post(func() { loop.relieve(percent) })
	}
}

func (l *loop) relieve(percent int) {
	all := l.table.all()
	all = slices.DeleteFunc(all, func(s *session) bool { return s.leaving || s.left || s.holds() < largeBuffer })
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(b.holds(), a.holds()) })
	for i, s := range all {
		if i > len(all)*percent/100 {
			return
		}
		s.starve()
	}
}

// holds is how much memory the session has of what it may or may not have, in bytes.
func (s *session) holds() (n int) {
	n = s.opt.Machine.Held()
	for _, d := range [...]*direction{&s.client, &s.backend} {
		if d.buf.mem != nil {
			n += len(*d.buf.mem)
		}
	}
	for i := range s.ends {
		if unsent := s.ends[i].conn.Pending(); unsent > 0 {
			n += max(unsent, largeBuffer) // a block at least is kept for it
		}
	}
	return n
}

// starve ends the session for want of memory. It is the client's direction that ends:
// the backend's may wait for a client that does not read.
func (s *session) starve() {
	defer s.after()
	s.endBy(&s.client, part{cause: OutOfMemory, err: errNoMemory})
}
