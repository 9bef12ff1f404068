package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// command is what the kind of a parse node says by itself.
type command struct {
	tag   string // cmdtaglist.h; a * stands for the kind of object
	class statement.Class
	tags  statement.Tag
}

// Short names for the table.
const (
	read     = statement.Read
	write    = statement.Write
	function = statement.Function
	role     = statement.Role
	ddl      = statement.DDL
	misc     = statement.Misc
	miscSet  = statement.MiscSet

	tDDL         = statement.TagDDL
	tDestructive = statement.TagDestructive
	tPrivilege   = statement.TagPrivilege
	tRoleChange  = statement.TagRoleChange
	tExport      = statement.TagBulkExport
	tLoad        = statement.TagBulkLoad
	tExternal    = statement.TagExternalIO
	tProcedural  = statement.TagProcedural
	tDynamic     = statement.TagDynamicSQL
	tSession     = statement.TagSession
	tTransaction = statement.TagTransaction
	tMaintenance = statement.TagMaintenance
	tReplication = statement.TagReplication
)

// commands holds every statement node of PostgreSQL's grammar, by the node's
// name and, where one node serves several commands, its variant. Classes are
// pgaudit's (log_audit_event and GetCommandLogLevel); where a command is more
// than pgaudit's one class tells, it carries both.
var commands = map[string]command{
	// Reading and writing rows.
	"SelectStmt":      {"SELECT", read, 0},
	"SelectStmt INTO": {"SELECT INTO", read | ddl, tDDL},
	"InsertStmt":      {"INSERT", write, 0},
	"UpdateStmt":      {"UPDATE", write, 0},
	"DeleteStmt":      {"DELETE", write, 0},
	"MergeStmt":       {"MERGE", write | read, 0},
	"TruncateStmt":    {"TRUNCATE TABLE", write, tDestructive},
	"CopyStmt FROM":   {"COPY", write, tLoad},
	"CopyStmt TO":     {"COPY", read, tExport},

	// Statements that carry another one.
	"ExplainStmt":                       {"EXPLAIN", misc, 0},
	"PrepareStmt":                       {"PREPARE", 0, tSession},
	"ExecuteStmt":                       {"EXECUTE", misc, 0},
	"DeallocateStmt":                    {"DEALLOCATE", misc, tSession},
	"DeallocateStmt ALL":                {"DEALLOCATE ALL", misc, tSession},
	"DeclareCursorStmt":                 {"DECLARE CURSOR", 0, tSession},
	"FetchStmt":                         {"FETCH", misc, 0},
	"FetchStmt MOVE":                    {"MOVE", misc, 0},
	"ClosePortalStmt":                   {"CLOSE CURSOR", misc, tSession},
	"ClosePortalStmt ALL":               {"CLOSE CURSOR ALL", misc, tSession},
	"CreateTableAsStmt":                 {"CREATE TABLE AS", ddl, tDDL},
	"CreateTableAsStmt MATVIEW":         {"CREATE MATERIALIZED VIEW", ddl, tDDL},
	"RefreshMatViewStmt":                {"REFRESH MATERIALIZED VIEW", ddl | read, tDDL | tMaintenance},
	"DoStmt":                            {"DO", function, tProcedural},
	"CallStmt":                          {"CALL", function | misc, tProcedural},
	"CreateFunctionStmt":                {"CREATE FUNCTION", ddl, tDDL | tProcedural},
	"CreateFunctionStmt PROCEDURE":      {"CREATE PROCEDURE", ddl, tDDL | tProcedural},
	"TransactionStmt BEGIN":             {"BEGIN", misc, tTransaction},
	"TransactionStmt START":             {"START TRANSACTION", misc, tTransaction},
	"TransactionStmt COMMIT":            {"COMMIT", misc, tTransaction},
	"TransactionStmt ROLLBACK":          {"ROLLBACK", misc, tTransaction},
	"TransactionStmt SAVEPOINT":         {"SAVEPOINT", misc, tTransaction},
	"TransactionStmt RELEASE":           {"RELEASE", misc, tTransaction},
	"TransactionStmt ROLLBACK_TO":       {"ROLLBACK", misc, tTransaction},
	"TransactionStmt PREPARE":           {"PREPARE TRANSACTION", misc, tTransaction},
	"TransactionStmt COMMIT_PREPARED":   {"COMMIT PREPARED", misc, tTransaction},
	"TransactionStmt ROLLBACK_PREPARED": {"ROLLBACK PREPARED", misc, tTransaction},

	// The session.
	"VariableSetStmt":       {"SET", miscSet, tSession},
	"VariableSetStmt RESET": {"RESET", miscSet, tSession},
	"VariableShowStmt":      {"SHOW", misc, 0},
	"ConstraintsSetStmt":    {"SET CONSTRAINTS", misc, tTransaction},
	"DiscardStmt ALL":       {"DISCARD ALL", misc, tSession},
	"DiscardStmt PLANS":     {"DISCARD PLANS", misc, tSession},
	"DiscardStmt SEQUENCES": {"DISCARD SEQUENCES", misc, tSession},
	"DiscardStmt TEMP":      {"DISCARD TEMP", misc, tSession},
	"ListenStmt":            {"LISTEN", misc, tSession},
	"UnlistenStmt":          {"UNLISTEN", misc, tSession},
	"NotifyStmt":            {"NOTIFY", misc, 0},
	"LockStmt":              {"LOCK TABLE", misc, tTransaction},
	"LoadStmt":              {"LOAD", misc, tSession | tExternal},

	// Upkeep.
	"VacuumStmt":         {"VACUUM", misc, tMaintenance},
	"VacuumStmt ANALYZE": {"ANALYZE", misc, tMaintenance},
	"ClusterStmt":        {"CLUSTER", ddl, tMaintenance},
	"ReindexStmt":        {"REINDEX", misc, tMaintenance},
	"CheckPointStmt":     {"CHECKPOINT", misc, tMaintenance},

	// Who may do what.
	"GrantStmt":                  {"GRANT", role, tPrivilege},
	"GrantStmt REVOKE":           {"REVOKE", role, tPrivilege},
	"GrantRoleStmt":              {"GRANT ROLE", role, tPrivilege},
	"GrantRoleStmt REVOKE":       {"REVOKE ROLE", role, tPrivilege},
	"AlterDefaultPrivilegesStmt": {"ALTER DEFAULT PRIVILEGES", role, tPrivilege},
	"CreateRoleStmt":             {"CREATE ROLE", role, tPrivilege},
	"AlterRoleStmt":              {"ALTER ROLE", role, tPrivilege},
	"AlterRoleSetStmt":           {"ALTER ROLE", role, tPrivilege},
	"DropRoleStmt":               {"DROP ROLE", role, tPrivilege | tDestructive},
	"DropOwnedStmt":              {"DROP OWNED", ddl | role, tDDL | tPrivilege | tDestructive},
	"ReassignOwnedStmt":          {"REASSIGN OWNED", ddl | role, tDDL | tPrivilege | tDestructive},
	"CreateUserMappingStmt":      {"CREATE USER MAPPING", ddl | role, tDDL | tPrivilege | tExternal},
	"AlterUserMappingStmt":       {"ALTER USER MAPPING", ddl | role, tDDL | tPrivilege | tExternal},
	"DropUserMappingStmt":        {"DROP USER MAPPING", ddl | role, tDDL | tPrivilege | tExternal | tDestructive},
	"CreatePolicyStmt":           {"CREATE POLICY", ddl, tDDL | tPrivilege},
	"AlterPolicyStmt":            {"ALTER POLICY", ddl, tDDL | tPrivilege},
	"AlterSystemStmt":            {"ALTER SYSTEM", ddl, tDDL | tPrivilege},
	"SecLabelStmt":               {"SECURITY LABEL", ddl, tDDL | tPrivilege},

	// One node for many kinds of object.
	"DefineStmt":             {"CREATE *", ddl, tDDL},
	"DropStmt":               {"DROP *", ddl, tDDL | tDestructive},
	"AlterTableStmt":         {"ALTER *", ddl, tDDL},
	"RenameStmt":             {"ALTER *", ddl, tDDL},
	"AlterObjectSchemaStmt":  {"ALTER *", ddl, tDDL},
	"AlterObjectDependsStmt": {"ALTER *", ddl, tDDL},
	"AlterOwnerStmt":         {"ALTER *", ddl, tDDL | tPrivilege},
	"AlterTableMoveAllStmt":  {"ALTER *", ddl, tDDL},
	"AlterFunctionStmt":      {"ALTER *", ddl, tDDL | tProcedural},
	"CommentStmt":            {"COMMENT", ddl, tDDL},

	// Schemas, relations and what belongs to them.
	"CreateSchemaStmt":     {"CREATE SCHEMA", ddl, tDDL},
	"CreateStmt":           {"CREATE TABLE", ddl, tDDL},
	"ViewStmt":             {"CREATE VIEW", ddl, tDDL},
	"IndexStmt":            {"CREATE INDEX", ddl, tDDL},
	"CreateSeqStmt":        {"CREATE SEQUENCE", ddl, tDDL},
	"AlterSeqStmt":         {"ALTER SEQUENCE", ddl, tDDL},
	"CreateStatsStmt":      {"CREATE STATISTICS", ddl, tDDL},
	"AlterStatsStmt":       {"ALTER STATISTICS", ddl, tDDL},
	"CreateTrigStmt":       {"CREATE TRIGGER", ddl, tDDL},
	"RuleStmt":             {"CREATE RULE", ddl, tDDL},
	"CreateEventTrigStmt":  {"CREATE EVENT TRIGGER", ddl, tDDL},
	"AlterEventTrigStmt":   {"ALTER EVENT TRIGGER", ddl, tDDL},
	"CreateTableSpaceStmt": {"CREATE TABLESPACE", ddl, tDDL | tExternal},
	"DropTableSpaceStmt":   {"DROP TABLESPACE", ddl, tDDL | tDestructive},

	"AlterTableSpaceOptionsStmt": {"ALTER TABLESPACE", ddl, tDDL},

	// Types, operators, languages, text search.
	"CompositeTypeStmt":        {"CREATE TYPE", ddl, tDDL},
	"CreateEnumStmt":           {"CREATE TYPE", ddl, tDDL},
	"CreateRangeStmt":          {"CREATE TYPE", ddl, tDDL},
	"AlterEnumStmt":            {"ALTER TYPE", ddl, tDDL},
	"AlterTypeStmt":            {"ALTER TYPE", ddl, tDDL},
	"CreateDomainStmt":         {"CREATE DOMAIN", ddl, tDDL},
	"AlterDomainStmt":          {"ALTER DOMAIN", ddl, tDDL},
	"AlterCollationStmt":       {"ALTER COLLATION", ddl, tDDL},
	"CreateConversionStmt":     {"CREATE CONVERSION", ddl, tDDL},
	"CreateCastStmt":           {"CREATE CAST", ddl, tDDL},
	"CreateTransformStmt":      {"CREATE TRANSFORM", ddl, tDDL},
	"CreateAmStmt":             {"CREATE ACCESS METHOD", ddl, tDDL},
	"CreatePLangStmt":          {"CREATE LANGUAGE", ddl, tDDL | tPrivilege},
	"AlterOperatorStmt":        {"ALTER OPERATOR", ddl, tDDL},
	"CreateOpClassStmt":        {"CREATE OPERATOR CLASS", ddl, tDDL},
	"CreateOpFamilyStmt":       {"CREATE OPERATOR FAMILY", ddl, tDDL},
	"AlterOpFamilyStmt":        {"ALTER OPERATOR FAMILY", ddl, tDDL},
	"AlterTSDictionaryStmt":    {"ALTER TEXT SEARCH DICTIONARY", ddl, tDDL},
	"AlterTSConfigurationStmt": {"ALTER TEXT SEARCH CONFIGURATION", ddl, tDDL},

	// Databases, extensions, other servers, replication.
	"CreatedbStmt":                 {"CREATE DATABASE", ddl, tDDL},
	"AlterDatabaseStmt":            {"ALTER DATABASE", ddl, tDDL},
	"AlterDatabaseSetStmt":         {"ALTER DATABASE", ddl, tDDL},
	"AlterDatabaseRefreshCollStmt": {"ALTER DATABASE", ddl, tDDL},
	"DropdbStmt":                   {"DROP DATABASE", ddl, tDDL | tDestructive},
	"CreateExtensionStmt":          {"CREATE EXTENSION", ddl, tDDL | tExternal},
	"AlterExtensionStmt":           {"ALTER EXTENSION", ddl, tDDL | tExternal},
	"AlterExtensionContentsStmt":   {"ALTER EXTENSION", ddl, tDDL},
	"CreateFdwStmt":                {"CREATE FOREIGN DATA WRAPPER", ddl, tDDL | tExternal},
	"AlterFdwStmt":                 {"ALTER FOREIGN DATA WRAPPER", ddl, tDDL | tExternal},
	"CreateForeignServerStmt":      {"CREATE SERVER", ddl, tDDL | tExternal},
	"AlterForeignServerStmt":       {"ALTER SERVER", ddl, tDDL | tExternal},
	"CreateForeignTableStmt":       {"CREATE FOREIGN TABLE", ddl, tDDL | tExternal},
	"ImportForeignSchemaStmt":      {"IMPORT FOREIGN SCHEMA", ddl, tDDL | tExternal},
	"CreatePublicationStmt":        {"CREATE PUBLICATION", ddl, tDDL | tReplication},
	"AlterPublicationStmt":         {"ALTER PUBLICATION", ddl, tDDL | tReplication},
	"CreateSubscriptionStmt":       {"CREATE SUBSCRIPTION", ddl, tDDL | tReplication | tExternal},
	"AlterSubscriptionStmt":        {"ALTER SUBSCRIPTION", ddl, tDDL | tReplication | tExternal},
	"DropSubscriptionStmt":         {"DROP SUBSCRIPTION", ddl, tDDL | tReplication | tExternal | tDestructive},
}

// lookup returns the command that a node is, false for a node that is no
// statement. A statement node that the table lacks is of class Unknown.
func lookup(m proto.Message) (command, bool) {
	name := string(m.ProtoReflect().Descriptor().Name())
	if !strings.HasSuffix(name, "Stmt") || notStatements[name] {
		return command{}, false
	}
	if v := variant(m); v != "" {
		name += " " + v
	}
	c, ok := commands[name]
	if !ok {
		return command{class: statement.Unknown}, true
	}
	if of, generic := objectType(m); generic {
		k := kindOf(of)
		c.tag = strings.Replace(c.tag, "*", strings.ToUpper(k.name), 1)
		c.tags |= k.tags
		if k.class != 0 {
			c.class = k.class
			c.tags &^= tDDL
		}
	}
	return c, true
}

// notStatements are nodes that are only part of one.
var notStatements = map[string]bool{
	"RawStmt": true, "ReturnStmt": true, "PLAssignStmt": true, "SetOperationStmt": true, "ReplicaIdentityStmt": true,
}

// variant tells apart the commands that share a node.
func variant(m proto.Message) string {
	switch m := m.(type) {
	case *pg.SelectStmt:
		return when(leftmost(m).IntoClause != nil, "INTO")
	case *pg.CopyStmt:
		return either(m.IsFrom, "FROM", "TO")
	case *pg.CreateTableAsStmt:
		return when(m.Objtype == pg.ObjectType_OBJECT_MATVIEW, "MATVIEW")
	case *pg.DeallocateStmt:
		return when(m.Name == "", "ALL")
	case *pg.FetchStmt:
		return when(m.Ismove, "MOVE")
	case *pg.ClosePortalStmt:
		return when(m.Portalname == "", "ALL")
	case *pg.CreateFunctionStmt:
		return when(m.IsProcedure, "PROCEDURE")
	case *pg.TransactionStmt:
		return strings.TrimPrefix(m.Kind.String(), "TRANS_STMT_")
	case *pg.VariableSetStmt:
		reset := m.Kind == pg.VariableSetKind_VAR_RESET || m.Kind == pg.VariableSetKind_VAR_RESET_ALL
		return when(reset, "RESET")
	case *pg.DiscardStmt:
		return strings.TrimPrefix(m.Target.String(), "DISCARD_")
	case *pg.VacuumStmt:
		return when(!m.IsVacuumcmd, "ANALYZE")
	case *pg.GrantStmt:
		return when(!m.IsGrant, "REVOKE")
	case *pg.GrantRoleStmt:
		return when(!m.IsGrant, "REVOKE")
	}
	return ""
}

func when(yes bool, s string) string { return either(yes, s, "") }

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// leftmost returns the arm of a set operation that carries its INTO.
func leftmost(s *pg.SelectStmt) *pg.SelectStmt {
	for s.Larg != nil {
		s = s.Larg
	}
	return s
}
