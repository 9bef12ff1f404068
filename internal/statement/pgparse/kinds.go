package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// kind is a kind of object in the database.
type kind struct {
	name  string          // in capitals it is what follows CREATE, ALTER and DROP
	class statement.Class // of commands on it, where it is not the node's
	tags  statement.Tag
}

// kinds are PostgreSQL's kinds of object. A part of an object stands for the
// object: renaming a column is ALTER TABLE.
var kinds = map[pg.ObjectType]kind{
	pg.ObjectType_OBJECT_ACCESS_METHOD:         {name: "access method"},
	pg.ObjectType_OBJECT_AGGREGATE:             {name: "aggregate"},
	pg.ObjectType_OBJECT_AMOP:                  {name: "operator family"},
	pg.ObjectType_OBJECT_AMPROC:                {name: "operator family"},
	pg.ObjectType_OBJECT_ATTRIBUTE:             {name: "type"},
	pg.ObjectType_OBJECT_CAST:                  {name: "cast"},
	pg.ObjectType_OBJECT_COLUMN:                {name: "table"},
	pg.ObjectType_OBJECT_COLLATION:             {name: "collation"},
	pg.ObjectType_OBJECT_CONVERSION:            {name: "conversion"},
	pg.ObjectType_OBJECT_DATABASE:              {name: "database"},
	pg.ObjectType_OBJECT_DEFAULT:               {name: "table"},
	pg.ObjectType_OBJECT_DEFACL:                {name: "default privileges"},
	pg.ObjectType_OBJECT_DOMAIN:                {name: "domain"},
	pg.ObjectType_OBJECT_DOMCONSTRAINT:         {name: "domain"},
	pg.ObjectType_OBJECT_EVENT_TRIGGER:         {name: "event trigger"},
	pg.ObjectType_OBJECT_EXTENSION:             {name: "extension"},
	pg.ObjectType_OBJECT_FDW:                   {name: "foreign data wrapper", tags: tExternal},
	pg.ObjectType_OBJECT_FOREIGN_SERVER:        {name: "server", tags: tExternal},
	pg.ObjectType_OBJECT_FOREIGN_TABLE:         {name: "foreign table", tags: tExternal},
	pg.ObjectType_OBJECT_FUNCTION:              {name: "function"},
	pg.ObjectType_OBJECT_INDEX:                 {name: "index"},
	pg.ObjectType_OBJECT_LANGUAGE:              {name: "language"},
	pg.ObjectType_OBJECT_LARGEOBJECT:           {name: "large object"},
	pg.ObjectType_OBJECT_MATVIEW:               {name: "materialized view"},
	pg.ObjectType_OBJECT_OPCLASS:               {name: "operator class"},
	pg.ObjectType_OBJECT_OPERATOR:              {name: "operator"},
	pg.ObjectType_OBJECT_OPFAMILY:              {name: "operator family"},
	pg.ObjectType_OBJECT_PARAMETER_ACL:         {name: "parameter"},
	pg.ObjectType_OBJECT_POLICY:                {name: "policy", tags: tPrivilege},
	pg.ObjectType_OBJECT_PROCEDURE:             {name: "procedure"},
	pg.ObjectType_OBJECT_PUBLICATION:           {name: "publication", tags: tReplication},
	pg.ObjectType_OBJECT_PUBLICATION_NAMESPACE: {name: "publication", tags: tReplication},
	pg.ObjectType_OBJECT_PUBLICATION_REL:       {name: "publication", tags: tReplication},
	pg.ObjectType_OBJECT_ROLE:                  {name: "role", class: role, tags: tPrivilege},
	pg.ObjectType_OBJECT_ROUTINE:               {name: "routine"},
	pg.ObjectType_OBJECT_RULE:                  {name: "rule"},
	pg.ObjectType_OBJECT_SCHEMA:                {name: "schema"},
	pg.ObjectType_OBJECT_SEQUENCE:              {name: "sequence"},
	pg.ObjectType_OBJECT_SUBSCRIPTION:          {name: "subscription", tags: tReplication | tExternal},
	pg.ObjectType_OBJECT_STATISTIC_EXT:         {name: "statistics"},
	pg.ObjectType_OBJECT_TABCONSTRAINT:         {name: "table"},
	pg.ObjectType_OBJECT_TABLE:                 {name: "table"},
	pg.ObjectType_OBJECT_TABLESPACE:            {name: "tablespace"},
	pg.ObjectType_OBJECT_TRANSFORM:             {name: "transform"},
	pg.ObjectType_OBJECT_TRIGGER:               {name: "trigger"},
	pg.ObjectType_OBJECT_TSCONFIGURATION:       {name: "text search configuration"},
	pg.ObjectType_OBJECT_TSDICTIONARY:          {name: "text search dictionary"},
	pg.ObjectType_OBJECT_TSPARSER:              {name: "text search parser"},
	pg.ObjectType_OBJECT_TSTEMPLATE:            {name: "text search template"},
	pg.ObjectType_OBJECT_TYPE:                  {name: "type"},
	pg.ObjectType_OBJECT_USER_MAPPING:          {name: "user mapping", class: role, tags: tPrivilege | tExternal},
	pg.ObjectType_OBJECT_VIEW:                  {name: "view"},
}

func kindOf(t pg.ObjectType) kind {
	if k, ok := kinds[t]; ok {
		return k
	}
	return kind{name: "object", class: statement.Unknown}
}

// objectType returns the kind of object of a node that serves many.
func objectType(m proto.Message) (pg.ObjectType, bool) {
	switch m := m.(type) {
	case *pg.DefineStmt:
		return m.Kind, true
	case *pg.DropStmt:
		return m.RemoveType, true
	case *pg.AlterTableStmt:
		return m.Objtype, true
	case *pg.RenameStmt:
		if m.RenameType == pg.ObjectType_OBJECT_COLUMN {
			return m.RelationType, true
		}
		return m.RenameType, true
	case *pg.AlterObjectSchemaStmt:
		return m.ObjectType, true
	case *pg.AlterObjectDependsStmt:
		return m.ObjectType, true
	case *pg.AlterOwnerStmt:
		return m.ObjectType, true
	case *pg.AlterTableMoveAllStmt:
		return m.Objtype, true
	case *pg.AlterFunctionStmt:
		return m.Objtype, true
	}
	return 0, false
}
