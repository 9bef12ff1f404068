package statement

import "strings"

// Class is a set of pgAudit's statement classes (pgaudit.c, LOG_*), with
// Unknown beside them for what could not be read. A statement carries all
// that apply: `WITH d AS (DELETE …) SELECT …` is Read and Write.
type Class uint16

// The classes, in pgAudit's order.
const (
	Read     Class = 1 << iota // SELECT, and COPY when the source is a relation or a query
	Write                      // INSERT, UPDATE, DELETE, MERGE, TRUNCATE, and COPY into a relation
	Function                   // calls of functions outside pg_catalog, of acting ones inside it, and DO
	Role                       // GRANT, REVOKE, CREATE/ALTER/DROP ROLE
	DDL                        // all DDL that is not Role
	Misc                       // DISCARD, FETCH, CHECKPOINT, VACUUM, transaction control, …
	MiscSet                    // SET, RESET
	Unknown                    // the text could not be read, or cannot be trusted to mean what it reads
)

var classNames = [...]string{"READ", "WRITE", "FUNCTION", "ROLE", "DDL", "MISC", "MISC_SET", "UNKNOWN"}

// Names returns the names of the classes in c, in declaration order.
func (c Class) Names() []string { return bitNames(uint64(c), classNames[:]) }

// String joins the names with commas.
func (c Class) String() string { return strings.Join(c.Names(), ",") }

// ParseClass returns the class of that name, in any case.
func ParseClass(name string) (Class, bool) {
	i := indexFold(classNames[:], name)
	return Class(1) << max(i, 0), i >= 0
}

// ClassNames lists every class.
func ClassNames() []string { return append([]string(nil), classNames[:]...) }

// Tag is a set of what else is to be said of a statement: its effects, across
// the classes.
type Tag uint32

// The tags. A statement carries all that apply.
const (
	TagDDL         Tag = 1 << iota // changes the schema
	TagDestructive                 // DROP, TRUNCATE, DELETE or UPDATE of every row, ALTER … DROP, DROP OWNED, …
	TagPrivilege                   // changes who may do what: GRANT, REVOKE, ownership, role attributes, policies, ALTER SYSTEM
	TagRoleChange                  // changes who the session is: SET ROLE, SET SESSION AUTHORIZATION, set_config('role', …)
	TagBulkExport                  // COPY … TO
	TagBulkLoad                    // COPY … FROM
	TagExternalIO                  // reaches files, programs, or other servers
	TagProcedural                  // DO, CALL, CREATE FUNCTION or PROCEDURE
	TagDynamicSQL                  // builds SQL and runs it
	TagSession                     // changes the session: SET, RESET, DISCARD, LISTEN, prepared statements, cursors
	TagTransaction                 // transaction control
	TagMaintenance                 // VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT, REFRESH
	TagReplication                 // publications, subscriptions, slots
	TagFastpath                    // a FunctionCall message: a function by OID, without SQL
)

var tagNames = [...]string{
	"ddl", "destructive", "privilege", "role_change", "bulk_export", "bulk_load", "external_io",
	"procedural", "dynamic_sql", "session", "transaction", "maintenance", "replication", "fastpath",
}

// Names returns the names of the tags in t, in declaration order.
func (t Tag) Names() []string { return bitNames(uint64(t), tagNames[:]) }

// String joins the names with commas.
func (t Tag) String() string { return strings.Join(t.Names(), ",") }

// ParseTag returns the tag of that name, in any case.
func ParseTag(name string) (Tag, bool) {
	i := indexFold(tagNames[:], name)
	return Tag(1) << max(i, 0), i >= 0
}

// TagNames lists every tag.
func TagNames() []string { return append([]string(nil), tagNames[:]...) }

func bitNames(set uint64, names []string) []string {
	var out []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

func indexFold(names []string, name string) int {
	for i, n := range names {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}
