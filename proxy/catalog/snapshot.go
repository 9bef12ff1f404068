package catalog

import (
	"iter"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Snapshot is what a database held at one moment. It is immutable, and nobody but
// its Database keeps it: what sessions keep of one are strings.
type Snapshot struct {
	number    uint64
	changes   uint64 // of the database, when the reading began
	names     map[name]int32
	relations []relation
	// bare are the relations that something stands behind, by their name alone.
	bare     map[string][]int32
	links    []link
	routines map[name]int32
	own      map[string][]int32 // routines that are not the system's, by their bare names
	runs     []routine
	roles    map[string]role
	size     int64 // bytes, about
}

type name struct{ schema, name string }

type relation struct {
	name
	kind     string
	from, to int32 // of links: what stands behind it, whether directly or not
}

// routine is all functions and procedures of one name: which one is called, their
// arguments decide.
type routine struct {
	name
	kind, facts string
}

// link is one step behind a relation.
type link struct {
	to      int32
	through statement.Through
	routine bool // to is one
	written bool // it counts where the relation is written
	owned   bool // it is a part of the relation, or the other way round: what alters one alters both
}

// role is what decides where a session of a role finds names without a schema.
type role struct {
	usable map[string]bool // schemas that it has USAGE on
	path   string          // its search_path in this database, where known
	known  bool
}

// Objects returns how many relations and functions there are.
func (s *Snapshot) Objects() int { return len(s.relations) + len(s.runs) }

// Size returns about how many bytes it takes.
func (s *Snapshot) Size() int64 { return s.size }

// Hit is what a name stands for.
type Hit struct {
	index   int32
	routine bool
	// Found is set where there is such a thing.
	Found bool
	// Named is set where the text left the schema to search_path.
	Named bool
}

// Find looks a name up. Without a scope it has to have a schema.
func (s *Snapshot) Find(o *statement.Object, where *Scope) Hit {
	h, _ := s.Next(o, where, 0)
	return h
}

// Next looks a name up from one of the scope's schemas on, by its number, and returns
// the number behind the one where it was found: which function of a name is called
// its arguments decide, in whatever schema it is.
func (s *Snapshot) Next(o *statement.Object, where *Scope, from int) (h Hit, next int) {
	h = Hit{routine: o.InCatalog() == statement.Routine, Named: o.Schema == ""}
	index := s.names
	if h.routine {
		index = s.routines
	}
	if o.Schema != "" {
		h.index, h.Found = index[name{o.Schema, o.Name}]
		return h, 0
	}
	if where == nil {
		return h, 0
	}
	for next = from; next < len(where.schemas) && !h.Found; next++ {
		h.index, h.Found = index[name{where.schemas[next], o.Name}]
	}
	return h, next
}

// Like lists the relations of a name in any schema that something stands behind.
func (s *Snapshot) Like(bare string) []int32 { return s.bare[bare] }

// Own lists the functions of a name, in any schema but the system's.
func (s *Snapshot) Own(bare string) []int32 { return s.own[bare] }

// Routine is the hit of what Own lists.
func (s *Snapshot) Routine(index int32) Hit {
	return Hit{index: index, routine: true, Found: true, Named: true}
}

// Within lists the relations of a schema that something stands behind.
func (s *Snapshot) Within(schema string) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, list := range s.bare {
			for _, i := range list {
				if s.relations[i].schema == schema && !yield(i) {
					return
				}
			}
		}
	}
}

// Number tells the snapshots of a database apart.
func (s *Snapshot) Number() uint64 { return s.number }

// Hit is the one that has a number of a list of Like's, Index its number.
func (s *Snapshot) Hit(index int32) Hit { return Hit{index: index, Found: true} }

// Index is told of at Hit.
func (h Hit) Index() int32 { return h.index }

// Self returns what the name stands for, in the use that the statement makes of it.
func (s *Snapshot) Self(h Hit, use statement.Use) statement.Resolved {
	if h.routine {
		r := &s.runs[h.index]
		return statement.Resolved{
			Object:  statement.Object{Schema: r.schema, Name: r.name.name, Kind: r.kind, Use: use},
			Through: statement.ThroughName, Facts: r.facts,
		}
	}
	r := &s.relations[h.index]
	return statement.Resolved{
		Object:  statement.Object{Schema: r.schema, Name: r.name.name, Kind: r.kind, Use: use},
		Through: statement.ThroughName,
	}
}

// Behind returns how many steps there are behind what was found; Step takes their
// numbers.
func (s *Snapshot) Behind(h Hit) int {
	if h.routine || !h.Found {
		return 0
	}
	r := &s.relations[h.index]
	return int(r.to - r.from)
}

// Step returns one object that stands behind what was found. It reports false
// where the use does not come as far as that: who drops a view leaves its tables.
func (s *Snapshot) Step(h Hit, i int, use statement.Use) (statement.Resolved, bool) {
	l := &s.links[int(s.relations[h.index].from)+i]
	if !l.counts(use) {
		return statement.Resolved{}, false
	}
	if l.routine {
		use = statement.UseExecute
	}
	r := s.Self(Hit{index: l.to, routine: l.routine}, use)
	r.Through = l.through
	return r, true
}

// Rest returns how many steps count from number i on.
func (s *Snapshot) Rest(h Hit, i int, use statement.Use) (n uint64) {
	r := &s.relations[h.index]
	for _, l := range s.links[int(r.from)+i : r.to] {
		if l.counts(use) {
			n++
		}
	}
	return n
}

func (l *link) counts(use statement.Use) bool {
	switch use {
	case statement.UseRead:
		return !l.written
	case statement.UseWrite:
		return true
	default:
		return l.owned
	}
}
