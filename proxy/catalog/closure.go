package catalog

import (
	"slices"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// close finds all that stands behind each relation, so that a look-up has no graph
// to follow. Whoever may create objects can make that as large as it likes: the
// bound on bytes holds for it, too.
func (b *Builder) close() error {
	var starts []int32
	for i := range b.edges {
		starts = append(starts, i)
	}
	for i := range b.parents {
		if b.edges[i] == nil {
			starts = append(starts, i)
		}
	}
	slices.Sort(starts)
	w := walk{b: b, seen: map[int32]bool{}, called: map[int32]bool{}, queued: map[int32]bool{}}
	for _, i := range starts {
		r := &b.s.relations[i]
		r.from = int32(len(b.s.links))
		if err := w.from(i); err != nil {
			return err
		}
		if r.to = int32(len(b.s.links)); r.to > r.from {
			b.s.bare[r.name.name] = append(b.s.bare[r.name.name], i)
		}
	}
	return nil
}

// walk collects what stands behind one relation: first what is a part of it, then
// what it is made of, last what its rules write, so that each object is met on the
// way by which it counts most often.
type walk struct {
	b            *Builder
	seen, called map[int32]bool // what has a link
	queued       map[int32]bool // a parent that has a link need not be
	queue        []int32
}

func (w *walk) from(start int32) error {
	clear(w.seen)
	clear(w.called)
	clear(w.queued)
	w.seen[start], w.queued[start] = true, true
	w.queue = append(w.queue[:0], start)
	for pass := range passes {
		if err := w.pass(&passes[pass]); err != nil {
			return err
		}
	}
	return nil
}

type pass struct {
	edges          []edgeKind
	owned, written bool
}

var passes = [...]pass{
	{edges: []edgeKind{ofChild}, owned: true},
	{edges: []edgeKind{ofChild, ofView}},
	{edges: []edgeKind{ofChild, ofView, ofRule}, written: true},
}

var throughOf = [...]statement.Through{ofView: statement.ThroughView, ofRule: statement.ThroughRule, ofChild: statement.ThroughPartition}

// pass goes on from all that was met before.
func (w *walk) pass(p *pass) error {
	for at := 0; at < len(w.queue); at++ {
		if err := w.climb(w.queue[at], p); err != nil {
			return err
		}
		for _, e := range w.b.edges[w.queue[at]] {
			if !slices.Contains(p.edges, e.kind) {
				continue
			}
			l := link{to: e.to, through: throughOf[e.kind], routine: e.routine, written: p.written, owned: p.owned}
			if _, err := w.add(l); err != nil {
				return err
			}
			if !e.routine && !w.queued[e.to] {
				w.queued[e.to] = true
				w.queue = append(w.queue, e.to)
			}
		}
	}
	return nil
}

// climb adds what a relation belongs to, up to the root. Their other parts are not
// touched.
func (w *walk) climb(i int32, p *pass) error {
	for _, parent := range w.b.parents[i] {
		fresh, err := w.add(link{to: parent, through: statement.ThroughParent, written: p.written, owned: p.owned})
		if err != nil {
			return err
		}
		if fresh {
			if err := w.climb(parent, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) add(l link) (fresh bool, err error) {
	met := w.seen
	if l.routine {
		met = w.called
	}
	if met[l.to] {
		return false, nil
	}
	met[l.to] = true
	w.b.s.links = append(w.b.s.links, l)
	return true, w.b.take(linkSize)
}
