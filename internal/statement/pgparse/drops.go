package pgparse

import (
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
		if m.Subtype == "X" || m.Subtype == "N" || m.Subtype == "T" && m.Def == nil {
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
		switch {
		case m.Action == pg.AlterPublicationAction_AP_DropObjects:
			w.destructive("ALTER PUBLICATION … DROP")
		case m.Action == pg.AlterPublicationAction_AP_SetObjects && len(m.Pubobjects) > 0:
			w.destructive("ALTER PUBLICATION … SET") // what is not in the list goes
		}
	case *pg.RefreshMatViewStmt:
		if m.SkipData {
			w.destructive("REFRESH MATERIALIZED VIEW … WITH NO DATA")
		}
	case *pg.AlterEventTrigStmt:
		if m.Tgenabled == "D" || m.Tgenabled == "R" {
			w.destructive("ALTER EVENT TRIGGER … " + either(m.Tgenabled == "D", "DISABLE", "ENABLE REPLICA"))
		}
	case *pg.CreatedbStmt:
		w.databaseOwner(m.Options)
	case *pg.CreateSchemaStmt:
		if m.Authrole != nil {
			w.tag(tPrivilege)
		}
	case *pg.AlterDatabaseSetStmt:
		w.tag(tPrivilege)
	}
}

// option notes what a named option of any statement says: a secret, or a
// function's security.
func (w *walker) option(d *pg.DefElem) {
	if statement.SecretName(d.Defname) && d.Arg != nil {
		w.st.Secrets = true
		if d.Arg.GetString_() != nil {
			w.secretAt(firstSet(int(d.ArgLocation), int(d.Location)))
		}
	}
	switch d.Defname {
	case "owned_by":
		w.owner(d)
	case "sequence_name": // of an identity column
		w.named(d.Arg.GetList().GetItems(), "sequence", useCreate)
	case "security":
		if d.Arg.GetBoolean().GetBoolval() {
			w.tag(tPrivilege) // SECURITY DEFINER
		}
	case "leakproof":
		if d.Arg.GetBoolean().GetBoolval() {
			w.tag(tPrivilege) // it is trusted with rows that row security hides
		}
	case "security_barrier", "security_invoker":
		w.tag(tPrivilege) // of a view: whose rights its query has
	}
}

// databaseOwner notes whom CREATE DATABASE gives the database to.
func (w *walker) databaseOwner(options []*pg.Node) {
	for _, n := range options {
		if o := n.GetDefElem(); o.GetDefname() == "owner" {
			w.tag(tPrivilege)
			w.object("", o.GetArg().GetString_().GetSval(), "role", useRead)
		}
	}
}

func firstSet(a, b int) int { return either2(a > 0, a, b) }

// alterSubscription notes the forms that are more than an alteration.
func (w *walker) alterSubscription(m *pg.AlterSubscriptionStmt) {
	if m.Conninfo != "" {
		w.secretAt(int(m.ConninfoLocation))
	}
	switch m.Kind {
	case pg.AlterSubscriptionType_ALTER_SUBSCRIPTION_DROP_PUBLICATION:
		w.destructive("ALTER SUBSCRIPTION … DROP")
	case pg.AlterSubscriptionType_ALTER_SUBSCRIPTION_SET_PUBLICATION:
		w.destructive("ALTER SUBSCRIPTION … SET PUBLICATION") // what is not in the list goes
	case pg.AlterSubscriptionType_ALTER_SUBSCRIPTION_SKIP:
		if skips(m.Options) {
			w.destructive("ALTER SUBSCRIPTION … SKIP") // a transaction of the publisher's is lost
		}
	}
}

// skips tells if SKIP gives a transaction to skip; lsn = NONE takes that back.
func skips(options []*pg.Node) bool {
	for _, n := range options {
		if o := n.GetDefElem(); o.GetDefname() == "lsn" && o.GetArg().GetString_().GetSval() == "none" {
			return false
		}
	}
	return true
}
