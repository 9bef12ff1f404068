package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// created notes the object of the statements that are about one kind only.
func (w *walker) created(m proto.Message) {
	switch m := m.(type) {
	case *pg.CreateSchemaStmt:
		name := m.Schemaname
		switch {
		case name != "":
		case m.Authrole.GetRoletype() == pg.RoleSpecType_ROLESPEC_CSTRING:
			name = roleName(m.Authrole)
		default:
			name = statement.Any // of who the session is
		}
		w.object("", name, "schema", useCreate)
		w.object("", roleName(m.Authrole), "role", useRead)
	case *pg.CreateStmt:
		w.target(m.Relation, "table", useCreate)
		if m.Partbound != nil {
			w.nodes(m.InhRelations, "table", useAlter)
		}
	case *pg.CreateForeignTableStmt:
		w.target(m.BaseStmt.GetRelation(), "foreign table", useCreate)
		if m.BaseStmt.GetPartbound() != nil {
			w.nodes(m.BaseStmt.InhRelations, "table", useAlter)
		}
		w.claimed[m.BaseStmt] = true
		w.object("", m.Servername, "server", useRead)
	case *pg.ViewStmt:
		w.target(m.View, "view", useCreate)
	case *pg.IndexStmt:
		w.target(m.Relation, "table", useAlter)
		w.object(m.Relation.GetSchemaname(), m.Idxname, "index", useCreate)
	case *pg.CreateSeqStmt:
		w.target(m.Sequence, "sequence", useCreate)
	case *pg.AlterSeqStmt:
		w.target(m.Sequence, "sequence", useAlter)
	case *pg.CreateStatsStmt:
		w.named(m.Defnames, "statistics", useCreate)
	case *pg.AlterStatsStmt:
		w.named(m.Defnames, "statistics", useAlter)
	case *pg.CreateTrigStmt:
		w.target(m.Relation, "table", useAlter)
		w.object("", m.Trigname, "trigger", useCreate)
		w.named(m.Funcname, "function", useRead)
	case *pg.RuleStmt:
		w.target(m.Relation, "table", useAlter)
		w.object("", m.Rulename, "rule", useCreate)
	case *pg.CreatePolicyStmt:
		w.target(m.Table, "table", useAlter)
		w.object("", m.PolicyName, "policy", useCreate)
	case *pg.AlterPolicyStmt:
		w.target(m.Table, "table", useAlter)
		w.object("", m.PolicyName, "policy", useAlter)
	case *pg.CreateFunctionStmt:
		w.named(m.Funcname, either(m.IsProcedure, "procedure", "function"), useCreate)
	case *pg.CreateEventTrigStmt:
		w.object("", m.Trigname, "event trigger", useCreate)
		w.named(m.Funcname, "function", useRead)
	case *pg.AlterEventTrigStmt:
		w.object("", m.Trigname, "event trigger", useAlter)
	case *pg.CompositeTypeStmt:
		w.target(m.Typevar, "type", useCreate)
	default:
		w.types(m)
	}
}

// types goes on for types, operators, languages and text search.
func (w *walker) types(m proto.Message) {
	switch m := m.(type) {
	case *pg.CreateEnumStmt:
		w.named(m.TypeName, "type", useCreate)
	case *pg.CreateRangeStmt:
		w.named(m.TypeName, "type", useCreate)
	case *pg.AlterEnumStmt:
		w.named(m.TypeName, "type", useAlter)
	case *pg.AlterTypeStmt:
		w.named(m.TypeName, "type", useAlter)
	case *pg.CreateDomainStmt:
		w.named(m.Domainname, "domain", useCreate)
	case *pg.AlterDomainStmt:
		w.named(m.TypeName, "domain", useAlter)
	case *pg.AlterCollationStmt:
		w.named(m.Collname, "collation", useAlter)
	case *pg.CreateConversionStmt:
		w.named(m.ConversionName, "conversion", useCreate)
	case *pg.CreateCastStmt:
		w.object("", castName(m.Sourcetype, m.Targettype), "cast", useCreate)
	case *pg.CreateTransformStmt:
		w.object("", typeName(m.TypeName)+" "+m.Lang, "transform", useCreate)
	case *pg.CreateAmStmt:
		w.object("", m.Amname, "access method", useCreate)
	case *pg.CreatePLangStmt:
		w.object("", m.Plname, "language", useCreate)
	case *pg.AlterOperatorStmt:
		w.named(m.Opername.GetObjname(), "operator", useAlter)
	case *pg.CreateOpClassStmt:
		w.named(m.Opclassname, "operator class", useCreate)
	case *pg.CreateOpFamilyStmt:
		w.named(m.Opfamilyname, "operator family", useCreate)
	case *pg.AlterOpFamilyStmt:
		w.named(m.Opfamilyname, "operator family", useAlter)
	case *pg.AlterTSDictionaryStmt:
		w.named(m.Dictname, "text search dictionary", useAlter)
	case *pg.AlterTSConfigurationStmt:
		w.named(m.Cfgname, "text search configuration", useAlter)
	default:
		w.roles(m)
	}
}

// roles goes on for roles, databases and tablespaces.
func (w *walker) roles(m proto.Message) {
	switch m := m.(type) {
	case *pg.CreateRoleStmt:
		w.object("", m.Role, "role", useCreate)
		w.members(m.Options)
	case *pg.AlterRoleStmt:
		w.object("", roleName(m.Role), "role", useAlter)
		w.members(m.Options)
	case *pg.AlterRoleSetStmt:
		w.claimed[m.Setstmt] = true
		name := roleName(m.Role)
		if name == "" {
			name = "all"
		}
		w.object("", name, "role", useAlter)
		w.object("", m.Database, "database", useAlter)
		w.leadsLater(m.Setstmt)
	case *pg.DropRoleStmt:
		w.nodes(m.Roles, "role", useDrop)
	case *pg.DropOwnedStmt:
		w.nodes(m.Roles, "role", useAlter)
		w.anything(useDrop)
	case *pg.ReassignOwnedStmt:
		w.nodes(m.Roles, "role", useAlter)
		w.object("", roleName(m.Newrole), "role", useAlter)
		w.anything(useAlter)
	case *pg.CreatedbStmt:
		w.object("", m.Dbname, "database", useCreate)
	case *pg.AlterDatabaseStmt:
		w.object("", m.Dbname, "database", useAlter)
	case *pg.AlterDatabaseSetStmt:
		w.claimed[m.Setstmt] = true
		w.object("", m.Dbname, "database", useAlter)
		w.leadsLater(m.Setstmt)
	case *pg.AlterDatabaseRefreshCollStmt:
		w.object("", m.Dbname, "database", useAlter)
	case *pg.AlterSystemStmt:
		w.claimed[m.Setstmt] = true // stored, like the two above
		w.leadsLater(m.Setstmt)
	case *pg.DropdbStmt:
		w.object("", m.Dbname, "database", useDrop)
	case *pg.CreateTableSpaceStmt:
		w.object("", m.Tablespacename, "tablespace", useCreate)
	case *pg.AlterTableSpaceOptionsStmt:
		w.object("", m.Tablespacename, "tablespace", useAlter)
	case *pg.DropTableSpaceStmt:
		w.object("", m.Tablespacename, "tablespace", useDrop)
	default:
		w.outside(m)
	}
}

// outside goes on for what reaches beyond the database, and for replication.
func (w *walker) outside(m proto.Message) {
	switch m := m.(type) {
	case *pg.CreateExtensionStmt:
		w.object("", m.Extname, "extension", useCreate)
		for _, n := range m.Options {
			if o := n.GetDefElem(); o.GetDefname() == "schema" {
				w.object("", o.GetArg().GetString_().GetSval(), "schema", useAlter)
			}
		}
	case *pg.AlterExtensionStmt:
		w.object("", m.Extname, "extension", useAlter)
	case *pg.CreateFdwStmt:
		w.object("", m.Fdwname, "foreign data wrapper", useCreate)
	case *pg.AlterFdwStmt:
		w.object("", m.Fdwname, "foreign data wrapper", useAlter)
	case *pg.CreateForeignServerStmt:
		w.object("", m.Servername, "server", useCreate)
		w.object("", m.Fdwname, "foreign data wrapper", useRead)
	case *pg.AlterForeignServerStmt:
		w.object("", m.Servername, "server", useAlter)
	case *pg.CreateUserMappingStmt:
		w.mapping(m.User, m.Servername, useCreate)
	case *pg.AlterUserMappingStmt:
		w.mapping(m.User, m.Servername, useAlter)
	case *pg.DropUserMappingStmt:
		w.mapping(m.User, m.Servername, useDrop)
	case *pg.ImportForeignSchemaStmt:
		w.object("", m.ServerName, "server", useRead)
		w.object("", m.LocalSchema, "schema", useAlter)
		for _, n := range m.TableList {
			w.claimed[n.GetRangeVar()] = true // names at the other server
		}
	case *pg.CreatePublicationStmt:
		w.object("", m.Pubname, "publication", useCreate)
		w.everything(m.ForAllTables, useRead)
	case *pg.AlterPublicationStmt:
		w.object("", m.Pubname, "publication", useAlter)
	case *pg.CreateSubscriptionStmt:
		w.object("", m.Subname, "subscription", useCreate)
	case *pg.AlterSubscriptionStmt:
		w.object("", m.Subname, "subscription", useAlter)
	case *pg.DropSubscriptionStmt:
		w.object("", m.Subname, "subscription", useDrop)
	}
}

// members notes the other roles of CREATE ROLE … IN ROLE, ROLE, ADMIN, and of
// ALTER GROUP … USER.
func (w *walker) members(options []*pg.Node) {
	for _, n := range options {
		switch o := n.GetDefElem(); o.GetDefname() {
		case "addroleto":
			w.nodes(o.GetArg().GetList().GetItems(), "role", useRead)
		case "rolemembers", "adminmembers":
			w.nodes(o.GetArg().GetList().GetItems(), "role", useAlter)
		}
	}
}

// mapping notes a user mapping, which a role and a server name together.
func (w *walker) mapping(user *pg.RoleSpec, server string, use statement.Use) {
	w.object(server, roleName(user), "user mapping", use)
	w.object("", server, "server", useRead)
}
