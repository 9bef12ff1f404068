package catalog

import (
	"errors"
	"slices"
	"strings"
)

// ErrTooLarge says that a database holds more than the catalog may take.
var ErrTooLarge = errors.New("the database's catalog is larger than its share of catalog.memory")

// Builder makes a snapshot of rows, within a bound on bytes. Schemas come first, then
// relations and routines; what speaks of one that did not come is passed over.
type Builder struct {
	s    *Snapshot
	most int64

	schemas    map[uint32]string
	byOID      map[uint32]int32 // of relations
	routineOID map[uint32]int32
	traits     []Traits // of the routines, until they are put in words
	words      map[string]string
	edges      map[int32][]edge
	parents    map[int32][]int32
	roleOf     map[string]*role
}

type edge struct {
	to      int32
	kind    edgeKind
	routine bool
}

type edgeKind uint8

const (
	ofView edgeKind = iota
	ofRule
	ofChild
)

// Traits are those of a function or of all functions of one name: of each the gravest.
type Traits struct {
	Kind       byte // pg_proc.prokind
	Volatility byte // pg_proc.provolatile
	Definer    bool // it runs as its owner
	Languages  []string
}

// The sizes of what a row makes, in bytes, about: entries of maps, structs and
// headers, without the names.
const (
	schemaSize   = 64
	relationSize = 208
	routineSize  = 320
	edgeSize     = 48
	usageSize    = 48
	linkSize     = 8
)

// NewBuilder makes a builder of a snapshot of at most so many bytes, about.
func NewBuilder(most int64) *Builder {
	return &Builder{
		s: &Snapshot{
			names: map[name]int32{}, bare: map[string][]int32{}, routines: map[name]int32{}, own: map[string][]int32{}, roles: map[string]role{},
		},
		most:    most,
		schemas: map[uint32]string{}, byOID: map[uint32]int32{}, routineOID: map[uint32]int32{},
		words: map[string]string{}, edges: map[int32][]edge{}, parents: map[int32][]int32{}, roleOf: map[string]*role{},
	}
}

// take counts bytes against the bound.
func (b *Builder) take(n int) error {
	if b.s.size += int64(n); b.s.size > b.most {
		return ErrTooLarge
	}
	return nil
}

// Schema adds one, by its OID.
func (b *Builder) Schema(oid uint32, nsp string) error {
	b.schemas[oid] = nsp
	return b.take(schemaSize + len(nsp))
}

// relationKinds are those of pg_class.relkind that hold rows.
var relationKinds = map[byte]string{
	'r': "table", 'p': "table", 'v': "view", 'm': "materialized view", 'f': "foreign table", 'S': "sequence",
}

// Relation adds one of a schema. Of what holds no rows none is made.
func (b *Builder) Relation(oid, namespace uint32, rel string, relkind byte) error {
	schema, known := b.schemas[namespace]
	kind, holds := relationKinds[relkind]
	if !known || !holds {
		return nil
	}
	key := name{schema, rel}
	b.byOID[oid] = int32(len(b.s.relations))
	b.s.names[key] = int32(len(b.s.relations))
	b.s.relations = append(b.s.relations, relation{name: key, kind: kind})
	return b.take(relationSize + len(rel))
}

// Routine adds a function or procedure of a schema.
func (b *Builder) Routine(oid, namespace uint32, fn string, t Traits) error {
	schema, known := b.schemas[namespace]
	if !known {
		return nil
	}
	key := name{schema, fn}
	i, another := b.s.routines[key]
	if !another {
		i = int32(len(b.s.runs))
		b.s.routines[key] = i
		b.s.runs = append(b.s.runs, routine{name: key})
		b.traits = append(b.traits, t)
		if schema != "pg_catalog" && schema != "information_schema" {
			b.s.own[fn] = append(b.s.own[fn], i)
		}
	} else {
		b.traits[i].add(&t)
	}
	b.routineOID[oid] = i
	return b.take(routineSize + len(fn))
}

func (t *Traits) add(o *Traits) {
	t.Definer = t.Definer || o.Definer
	if gravity(o.Volatility) > gravity(t.Volatility) {
		t.Volatility = o.Volatility
	}
	if t.Kind != o.Kind {
		t.Kind = 'f'
	}
	for _, l := range o.Languages {
		if !slices.Contains(t.Languages, l) {
			t.Languages = append(t.Languages, l)
		}
	}
}

// gravity puts pg_proc.provolatile in order.
func gravity(volatility byte) int { return strings.IndexByte("isv", volatility) }

func (t *Traits) kindName() string {
	switch t.Kind {
	case 'p':
		return "procedure"
	case 'a':
		return "aggregate"
	default:
		return "function"
	}
}

func (t *Traits) facts() string {
	words := []string{"volatile"}
	switch t.Volatility {
	case 'i':
		words[0] = "immutable"
	case 's':
		words[0] = "stable"
	}
	if t.Definer {
		words = append(words, "security definer")
	}
	slices.Sort(t.Languages)
	return strings.Join(append(words, t.Languages...), ", ")
}

// Rewritten notes that a rule of a relation, which of a view is its query, speaks of
// another relation or a function. event is pg_rewrite.ev_type.
func (b *Builder) Rewritten(of uint32, event byte, to uint32, isRoutine bool) error {
	const onSelect = '1'
	from, known := b.byOID[of]
	index, there := b.byOID[to]
	if isRoutine {
		index, there = b.routineOID[to]
	}
	if !known || !there {
		return nil
	}
	e := edge{to: index, routine: isRoutine}
	if event != onSelect {
		e.kind = ofRule
	}
	b.edges[from] = append(b.edges[from], e)
	return b.take(edgeSize)
}

// Inherits notes that a relation inherits from another, or is a partition of it.
func (b *Builder) Inherits(child, parent uint32) error {
	c, known := b.byOID[child]
	p, there := b.byOID[parent]
	if !known || !there {
		return nil // of partitioned indexes
	}
	b.edges[p] = append(b.edges[p], edge{to: c, kind: ofChild})
	b.parents[c] = append(b.parents[c], p)
	return b.take(2 * edgeSize)
}

// Usage notes that a role may use a schema.
func (b *Builder) Usage(rol, nsp string) error {
	r := b.role(rol)
	r.usable[nsp] = true
	return b.take(usageSize)
}

// Setting notes the search_path that a role's sessions begin with.
func (b *Builder) Setting(rol, path string) error {
	r := b.role(rol)
	r.path, r.known = path, true
	return b.take(usageSize + len(path))
}

func (b *Builder) role(rol string) *role {
	r := b.roleOf[rol]
	if r == nil {
		r = &role{usable: map[string]bool{}}
		b.roleOf[rol] = r
	}
	return r
}

// Build makes the snapshot. The builder is done with then.
func (b *Builder) Build() (*Snapshot, error) {
	for i := range b.traits {
		facts := b.traits[i].facts()
		if known, ok := b.words[facts]; ok {
			facts = known
		}
		b.words[facts] = facts
		b.s.runs[i].kind, b.s.runs[i].facts = b.traits[i].kindName(), facts
	}
	for rol, r := range b.roleOf {
		b.s.roles[rol] = *r
	}
	return b.s, b.close()
}
