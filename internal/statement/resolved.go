package statement

// Resolved is an object of the database's catalog that a statement touches by what
// it names: what a name without a schema stands for, or what stands behind it.
type Resolved struct {
	Object  // with its schema
	Through Through
	// Facts are what is known of a function: "volatile, security definer, plpgsql".
	Facts string
}

// Through is how an object of the catalog belongs to one that a statement names.
type Through uint8

// The ways to it.
const (
	ThroughName      Through = iota + 1 // it is what the name stands for
	ThroughView                         // a view is made of it
	ThroughRule                         // a rule of what is written acts on it
	ThroughPartition                    // it is a partition, or inherits
	ThroughParent                       // it is what a partition belongs to, or inherits from
)

var throughNames = [...]string{"", "name", "view", "rule", "partition", "parent"}

// String returns the way's name in records.
func (t Through) String() string {
	if int(t) < len(throughNames) {
		return throughNames[t]
	}
	return ""
}

// Resolution says how far a statement's names were held against the catalog.
type Resolution string

// The resolutions. They stand in records, so their names stay.
const (
	ResolutionNone      Resolution = ""          // nothing was looked up
	ResolutionResolved  Resolution = "resolved"  // each name is known, by a catalog that is as of now
	ResolutionSyntactic Resolution = "syntactic" // as the text has them: what is resolved beside it may not be all
)

// CatalogKind says which kinds of object the catalog's snapshot has.
type CatalogKind uint8

// The kinds.
const (
	NotInCatalog CatalogKind = iota
	Relation
	Routine
)

// InCatalog says where an object that the statement found, and did not make, is to be
// looked up.
func (o *Object) InCatalog() CatalogKind {
	if o.Use == UseCreate {
		return NotInCatalog
	}
	switch o.Kind {
	case "relation", "table", "view", "materialized view", "foreign table", "sequence":
		return Relation
	case "function", "procedure", "routine", "aggregate":
		return Routine
	}
	return NotInCatalog
}

// Schemaless tells whether an object is in no schema: of the whole database or cluster, or
// a table's own, which the statement names, too.
func (o *Object) Schemaless() bool {
	switch o.Kind {
	case "access method", "cast", "database", "default privileges", "event trigger", "extension", "foreign data wrapper", "language",
		"large object", "publication", "role", "server", "subscription", "tablespace", "transform", "user mapping",
		"parameter", "policy", "rule", "trigger":
		return true
	default:
		return false
	}
}
