package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// phrase names a command to the user who is denied it.
func phrase(tag string) string {
	return either(tag == "TRUNCATE TABLE", "TRUNCATE", tag)
}

// drops notes ALTER … DROP, and what else a node does beside its statement's
// base: changes of ownership, of row security, of a function's security.
func (w *walker) drops(m proto.Message) {
	switch m := m.(type) {
	case *pg.AlterTableStmt:
		for _, n := range m.Cmds {
			w.alteration(kindOf(m.Objtype).name, n.GetAlterTableCmd())
		}
	case *pg.AlterDomainStmt:
		if m.Subtype == "X" || m.Subtype == "O" || m.Subtype == "T" && m.Def == nil {
			w.destructive("ALTER DOMAIN … DROP")
		}
	case *pg.AlterExtensionContentsStmt:
		if m.Action < 0 {
			w.destructive("ALTER EXTENSION … DROP")
		}
	case *pg.AlterOpFamilyStmt:
		if m.IsDrop {
			w.destructive("ALTER OPERATOR FAMILY … DROP")
		}
	case *pg.AlterTSConfigurationStmt:
		if m.Kind == pg.AlterTSConfigType_ALTER_TSCONFIG_DROP_MAPPING {
			w.destructive("ALTER TEXT SEARCH CONFIGURATION … DROP")
		}
	case *pg.AlterPublicationStmt:
		if m.Action == pg.AlterPublicationAction_AP_DropObjects {
			w.destructive("ALTER PUBLICATION … DROP")
		}
	case *pg.CreateSchemaStmt:
		if m.Authrole != nil {
			w.tag(tPrivilege)
		}
	case *pg.AlterDatabaseSetStmt:
		w.tag(tPrivilege)
	}
}

// altered names the parts of a relation that ALTER … DROP takes away.
var altered = map[pg.AlterTableType]string{
	pg.AlterTableType_AT_DropColumn:     "DROP COLUMN",
	pg.AlterTableType_AT_DropConstraint: "DROP CONSTRAINT",
	pg.AlterTableType_AT_DropExpression: "DROP EXPRESSION",
	pg.AlterTableType_AT_DropIdentity:   "DROP IDENTITY",
	pg.AlterTableType_AT_DropNotNull:    "DROP NOT NULL",
}

// alteration notes one action of ALTER TABLE and its kin.
func (w *walker) alteration(kind string, c *pg.AlterTableCmd) {
	switch t := c.GetSubtype(); t {
	case pg.AlterTableType_AT_ChangeOwner, pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_DisableRowSecurity,
		pg.AlterTableType_AT_ForceRowSecurity, pg.AlterTableType_AT_NoForceRowSecurity:
		w.tag(tPrivilege)
	case pg.AlterTableType_AT_ColumnDefault:
		if c.Def == nil {
			w.destructive("ALTER " + strings.ToUpper(kind) + " … DROP DEFAULT")
		}
	case pg.AlterTableType_AT_AttachPartition, pg.AlterTableType_AT_DetachPartition, pg.AlterTableType_AT_AddInherit,
		pg.AlterTableType_AT_DropInherit:
		w.partition(c.GetDef())
	default:
		if what := altered[t]; what != "" {
			what = either(kind == "type" && what == "DROP COLUMN", "DROP ATTRIBUTE", what)
			w.destructive("ALTER " + strings.ToUpper(kind) + " … " + what)
		}
	}
}

// partition notes the other table of an ALTER TABLE: it changes as well.
func (w *walker) partition(def *pg.Node) {
	if cmd := def.GetPartitionCmd(); cmd != nil {
		w.target(cmd.Name, "table", statement.UseAlter)
	}
	w.target(def.GetRangeVar(), "table", statement.UseAlter)
}

// option notes what a named option of any statement says: a secret, or a
// function's security.
func (w *walker) option(d *pg.DefElem) {
	if secretName(d.Defname) && d.Arg.GetString_() != nil {
		w.secretAt(firstSet(int(d.ArgLocation), int(d.Location)))
	}
	switch d.Defname {
	case "security":
		if d.Arg.GetBoolean().GetBoolval() {
			w.tag(tPrivilege) // SECURITY DEFINER
		}
	case "owned_by", "newowner":
		w.tag(tPrivilege)
	}
}

func firstSet(a, b int) int { return either2(a > 0, a, b) }

// alterSubscription notes the two forms that are more than an alteration.
func (w *walker) alterSubscription(m *pg.AlterSubscriptionStmt) {
	if m.Conninfo != "" {
		w.secretAt(int(m.ConninfoLocation))
	}
	if m.Kind == pg.AlterSubscriptionType_ALTER_SUBSCRIPTION_DROP_PUBLICATION {
		w.destructive("ALTER SUBSCRIPTION … DROP")
	}
}
