package journal

import (
	"maps"
	"slices"
)

// kind is the type of a field.
type kind uint8

const (
	kindString kind = iota
	kindUint
	kindInt
	kindObject
	kindResolved
	kindBytes
	kindBlob
)

// knownField is one line of the registry in audit/FORMAT.md, section 4.
type knownField struct {
	name string
	kind kind
}

// knownFields is the reader's registry, typed from FORMAT.md and not from the
// writer, so that each is a check on the other.
var knownFields = map[uint16]knownField{
	1:  {"session", kindString},
	2:  {"account", kindString},
	3:  {"upn", kindString},
	4:  {"sid", kindString},
	5:  {"guid", kindString},
	6:  {"dn", kindString},
	7:  {"kind", kindString},
	8:  {"owner", kindString},
	9:  {"source_address", kindString},
	10: {"source_via", kindString},
	11: {"tls", kindString},
	12: {"cipher", kindString},
	13: {"method", kindString},
	14: {"rule", kindString},
	15: {"group", kindString},
	16: {"backend", kindString},
	17: {"database", kindString},
	18: {"role", kindString},
	19: {"backend_pid", kindUint},
	20: {"application_name", kindString},
	21: {"reason", kindString},
	32: {"decision", kindString},
	33: {"incident", kindString},
	34: {"cause", kindString},
	35: {"detail", kindString},
	36: {"user", kindString},
	37: {"count", kindUint},
	48: {"decision_rule", kindString},
	49: {"missing", kindString},
	50: {"command", kindString},
	51: {"class", kindUint},
	52: {"tags", kindUint},
	53: {"objects", kindObject},
	54: {"text", kindString},
	55: {"form", kindString},
	56: {"name", kindString},
	57: {"fingerprint", kindUint},
	58: {"index", kindUint},
	59: {"of", kindUint},
	60: {"transaction", kindUint},
	61: {"protocol", kindString},
	62: {"text_digest", kindBytes},
	63: {"text_blob", kindBlob},
	64: {"resolution", kindString},
	65: {"resolved", kindResolved},
	66: {"left_out", kindUint},
	70: {"trace_id", kindBytes},
	71: {"span_id", kindBytes},
	72: {"parameters_form", kindString},
	73: {"parameters_count", kindUint},
	74: {"parameters_digest", kindBytes},
	75: {"parameters", kindBytes},
	76: {"parameters_blob", kindBlob},
	77: {"current_role", kindString},
	78: {"doubt", kindString},
	80: {"statement", kindUint},
	81: {"result", kindString},
	82: {"fate", kindString},
	83: {"sqlstate", kindString},
	84: {"message", kindString},
	85: {"message_length", kindUint},
	86: {"rows", kindInt},
	87: {"bytes", kindInt},
	88: {"duration", kindInt},
	89: {"copy_digest", kindBytes},
	96: {"digest", kindString},
	97: {"change", kindString},

	105: {"reader", kindString},
	106: {"reader_uid", kindUint},
	107: {"reader_login", kindString},
	108: {"reader_pid", kindUint},
	109: {"filter", kindString},

	112: {"checkpoint_segment", kindUint},
	113: {"checkpoint_offset", kindUint},
	114: {"checkpoint_sequence", kindUint},
	115: {"chain", kindBytes},
	116: {"sums", kindBytes},
	117: {"key", kindString},
	118: {"signature", kindBytes},
	119: {"earlier", kindBytes},
}

// fieldTableSize is beyond the ids of all fields.
const fieldTableSize = 256

// fieldTable is knownFields by id, without hashing. Places between have no name.
var fieldTable = func() (table [fieldTableSize]knownField) {
	for id, f := range knownFields {
		table[id] = f
	}
	return table
}()

// fieldID returns the id of a field that is known.
func fieldID(name string) uint16 {
	for id, f := range knownFields {
		if f.name == name {
			return id
		}
	}
	panic("journal: no field " + name)
}

// knownTypes is the registry of section 5.
var knownTypes = map[uint16]string{
	1:  "authentication",
	2:  "authorization",
	3:  "connection",
	4:  "session.start",
	5:  "session.end",
	6:  "statement.prepare",
	7:  "statement",
	8:  "outcome",
	9:  "transaction",
	10: "cancel",
	11: "revocation",
	12: "configuration",
	13: "parser.died",
	14: "journal.opened",
	15: "checkpoint",
	20: "audit.read",
	21: "certificate",
	22: "audit.hold",
	23: "audit.release",
	24: "account",
	25: "audit.removed",
	27: "operation",
}

// typeTable is knownTypes by number, without hashing.
var typeTable = func() (table [64]string) {
	for number, name := range knownTypes {
		table[number] = name
	}
	return table
}()

// ClassSet returns the bits of classes, TagSet those of tags, as the fields of those
// names hold them. Names that there are not have none.
func ClassSet(names []string) uint64 { return bitSet(names, classBits) }

// TagSet is told of at ClassSet.
func TagSet(names []string) uint64 { return bitSet(names, tagBits) }

func bitSet(names, bits []string) (set uint64) {
	for i, bit := range bits {
		if slices.Contains(names, bit) {
			set |= 1 << i
		}
	}
	return set
}

// TypeNumber returns the number of a type (FORMAT.md, section 5), 0 where it is not
// known.
func TypeNumber(name string) uint16 {
	for number, known := range knownTypes {
		if known == name {
			return number
		}
	}
	return 0
}

// TypeNames lists the types of record that this version knows, in the order of
// their numbers.
func TypeNames() []string {
	names := make([]string, 0, len(knownTypes))
	for _, n := range slices.Sorted(maps.Keys(knownTypes)) {
		names = append(names, knownTypes[n])
	}
	return names
}

var (
	classBits = []string{"READ", "WRITE", "FUNCTION", "ROLE", "DDL", "MISC", "MISC_SET", "UNKNOWN"}
	tagBits   = []string{
		"ddl", "destructive", "privilege", "role_change", "bulk_export", "bulk_load", "external_io",
		"procedural", "dynamic_sql", "session", "transaction", "maintenance", "replication", "fastpath",
	}
	useNames     = []string{"", "read", "written", "created", "altered", "dropped", "executed"}
	throughNames = []string{"", "name", "view", "rule", "partition", "parent"}
)
