package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// alteration is what one action of ALTER TABLE, INDEX, VIEW, TYPE and their kin
// is beside DDL.
type alteration struct {
	takes string // what it takes away, which makes it destructive; empty otherwise
	tags  statement.Tag
}

// alterations holds every action that the grammar makes. What it lacks is
// Unknown. Destructive is what takes away data, a definition, or what keeps data
// right: a constraint, a trigger, row security, durability.
var alterations = map[pg.AlterTableType]alteration{
	pg.AlterTableType_AT_AddColumn:                 {},
	pg.AlterTableType_AT_ColumnDefault:             {}, // DROP DEFAULT: see alteration
	pg.AlterTableType_AT_DropNotNull:               {takes: "DROP NOT NULL"},
	pg.AlterTableType_AT_SetNotNull:                {},
	pg.AlterTableType_AT_SetExpression:             {takes: "SET EXPRESSION"}, // the column is computed anew
	pg.AlterTableType_AT_DropExpression:            {takes: "DROP EXPRESSION"},
	pg.AlterTableType_AT_SetStatistics:             {},
	pg.AlterTableType_AT_SetOptions:                {},
	pg.AlterTableType_AT_ResetOptions:              {},
	pg.AlterTableType_AT_SetStorage:                {},
	pg.AlterTableType_AT_SetCompression:            {},
	pg.AlterTableType_AT_DropColumn:                {takes: "DROP COLUMN"},
	pg.AlterTableType_AT_AddConstraint:             {},
	pg.AlterTableType_AT_AlterConstraint:           {},
	pg.AlterTableType_AT_ValidateConstraint:        {},
	pg.AlterTableType_AT_DropConstraint:            {takes: "DROP CONSTRAINT"},
	pg.AlterTableType_AT_AlterColumnType:           {}, // USING a constant: see alteration
	pg.AlterTableType_AT_AlterColumnGenericOptions: {tags: tExternal},
	pg.AlterTableType_AT_ChangeOwner:               {tags: tPrivilege},
	pg.AlterTableType_AT_ClusterOn:                 {},
	pg.AlterTableType_AT_DropCluster:               {},
	pg.AlterTableType_AT_SetLogged:                 {},
	pg.AlterTableType_AT_SetUnLogged:               {takes: "SET UNLOGGED"}, // emptied after a crash
	pg.AlterTableType_AT_DropOids:                  {},
	pg.AlterTableType_AT_SetAccessMethod:           {},
	pg.AlterTableType_AT_SetTableSpace:             {},
	pg.AlterTableType_AT_SetRelOptions:             {},
	pg.AlterTableType_AT_ResetRelOptions:           {},
	pg.AlterTableType_AT_EnableTrig:                {},
	pg.AlterTableType_AT_EnableAlwaysTrig:          {},
	pg.AlterTableType_AT_EnableReplicaTrig:         {takes: "ENABLE REPLICA TRIGGER"}, // silent but in a replica
	pg.AlterTableType_AT_DisableTrig:               {takes: "DISABLE TRIGGER"},
	pg.AlterTableType_AT_EnableTrigAll:             {},
	pg.AlterTableType_AT_DisableTrigAll:            {takes: "DISABLE TRIGGER"},
	pg.AlterTableType_AT_EnableTrigUser:            {},
	pg.AlterTableType_AT_DisableTrigUser:           {takes: "DISABLE TRIGGER"},
	pg.AlterTableType_AT_EnableRule:                {},
	pg.AlterTableType_AT_EnableAlwaysRule:          {},
	pg.AlterTableType_AT_EnableReplicaRule:         {takes: "ENABLE REPLICA RULE"},
	pg.AlterTableType_AT_DisableRule:               {takes: "DISABLE RULE"},
	pg.AlterTableType_AT_AddInherit:                {},
	pg.AlterTableType_AT_DropInherit:               {takes: "NO INHERIT"},
	pg.AlterTableType_AT_AddOf:                     {},
	pg.AlterTableType_AT_DropOf:                    {},
	pg.AlterTableType_AT_ReplicaIdentity:           {tags: tReplication},
	pg.AlterTableType_AT_EnableRowSecurity:         {tags: tPrivilege},
	pg.AlterTableType_AT_DisableRowSecurity:        {takes: "DISABLE ROW LEVEL SECURITY", tags: tPrivilege},
	pg.AlterTableType_AT_ForceRowSecurity:          {tags: tPrivilege},
	pg.AlterTableType_AT_NoForceRowSecurity:        {takes: "NO FORCE ROW LEVEL SECURITY", tags: tPrivilege},
	pg.AlterTableType_AT_GenericOptions:            {tags: tExternal},
	pg.AlterTableType_AT_AttachPartition:           {},
	pg.AlterTableType_AT_DetachPartition:           {takes: "DETACH PARTITION"},
	pg.AlterTableType_AT_DetachPartitionFinalize:   {takes: "DETACH PARTITION"},
	pg.AlterTableType_AT_AddIdentity:               {},
	pg.AlterTableType_AT_SetIdentity:               {},
	pg.AlterTableType_AT_DropIdentity:              {takes: "DROP IDENTITY"},
}

// alteration notes one action of ALTER TABLE and its kin.
func (w *walker) alteration(kind string, c *pg.AlterTableCmd) {
	a, known := alterations[c.GetSubtype()]
	if !known {
		w.class(statement.Unknown)
		return
	}
	w.tag(a.tags)
	w.object("", roleName(c.Newowner), "role", useRead)
	switch c.Subtype {
	case pg.AlterTableType_AT_DropColumn:
		a.takes = either(kind == "type", "DROP ATTRIBUTE", a.takes)
	case pg.AlterTableType_AT_ColumnDefault:
		a.takes = when(c.Def == nil, "DROP DEFAULT")
	case pg.AlterTableType_AT_AlterColumnType:
		using := c.Def.GetColumnDef().GetRawDefault()
		a.takes = when(using != nil && !namesColumns(using), "TYPE … USING what no column decides")
	}
	if a.takes != "" {
		w.destructive("ALTER " + strings.ToUpper(kind) + " … " + a.takes)
	}
	w.otherTable(kind, c.Def)
}

// otherTable notes the second table, or index, of the statement: it changes as
// well.
func (w *walker) otherTable(kind string, def *pg.Node) {
	if cmd := def.GetPartitionCmd(); cmd != nil {
		w.target(cmd.Name, kind, statement.UseAlter)
	}
	w.target(def.GetRangeVar(), kind, statement.UseAlter)
}
