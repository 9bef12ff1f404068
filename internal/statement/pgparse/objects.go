package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Short names of the uses.
const (
	useWrite  = statement.UseWrite
	useRead   = statement.UseRead
	useCreate = statement.UseCreate
	useAlter  = statement.UseAlter
	useDrop   = statement.UseDrop
)

// target notes a relation that the statement is about, and keeps the walk from
// taking it for one that is read.
func (w *walker) target(r *pg.RangeVar, kind string, use statement.Use) {
	if r == nil {
		return
	}
	w.claimed[r] = true
	w.object(r.Schemaname, r.Relname, kind, use)
	if use == useWrite && inCatalog(r) {
		// Whoever writes pg_authid or pg_proc by hand needs no GRANT.
		w.class(ddl)
		w.tag(tDDL | tPrivilege)
		w.anything(useAlter) // a table's name and schema are rows there
	}
}

// inCatalog tells if a relation is one of the system catalogs, whose names begin
// with pg_; with no schema given, pg_catalog is searched first.
func inCatalog(r *pg.RangeVar) bool {
	return r.Relname != "pg_settings" &&
		(r.Schemaname == "pg_catalog" || r.Schemaname == "" && strings.HasPrefix(r.Relname, "pg_"))
}

// named notes an object by the parts of its name.
func (w *walker) named(parts []*pg.Node, kind string, use statement.Use) {
	schema, name := split(words(parts))
	w.object(schema, name, kind, use)
}

// nodes notes each of a list of objects, however the grammar names them.
func (w *walker) nodes(list []*pg.Node, kind string, use statement.Use) {
	for _, n := range list {
		w.node(n, kind, use)
	}
}

// node notes one object, however the grammar names it.
func (w *walker) node(n *pg.Node, kind string, use statement.Use) {
	switch m := message(n).(type) {
	case *pg.RangeVar:
		w.target(m, kind, use)
	case *pg.VacuumRelation:
		w.target(m.Relation, kind, use)
	case *pg.RoleSpec:
		w.object("", roleName(m), kind, use)
	default:
		w.claimed[m] = true
		schema, name := split(nameParts(m))
		w.object(schema, name, kind, use)
	}
}

// nameParts returns the parts of a name, outermost first.
func nameParts(m proto.Message) []string {
	switch m := m.(type) {
	case *pg.String:
		return []string{m.Sval}
	case *pg.Integer, *pg.Float:
		return []string{number(m)}
	case *pg.List:
		return words(m.Items)
	case *pg.TypeName:
		return words(m.Names)
	case *pg.ObjectWithArgs:
		return words(m.Objname)
	}
	return nil
}

// words joins the parts of the nodes of a list; of a cast these are two types.
func words(list []*pg.Node) []string {
	var out []string
	for _, n := range list {
		out = append(out, nameParts(message(n))...)
	}
	return out
}

// split takes the last part for the name and the one before it for the schema.
func split(parts []string) (schema, name string) {
	switch n := len(parts); n {
	case 0:
		return "", ""
	case 1:
		return "", parts[0]
	default:
		return parts[n-2], parts[n-1]
	}
}

func roleName(r *pg.RoleSpec) string {
	if r == nil {
		return ""
	}
	if r.Rolename != "" {
		return r.Rolename
	}
	return lower(strings.TrimPrefix(r.Roletype.String(), "ROLESPEC_"))
}

// ofKind notes the object of a statement that serves many kinds. What belongs
// to a relation is noted with it: `trigger t on r` also alters r.
func (w *walker) ofKind(t pg.ObjectType, rel *pg.RangeVar, n *pg.Node, use statement.Use) {
	kind := kindOf(t).name
	if rel != nil {
		w.target(rel, either(partOfRelation(t), "table", kind), either2(partOfRelation(t), useAlter, use))
		return
	}
	switch t {
	case pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE, pg.ObjectType_OBJECT_POLICY:
		parts := nameParts(message(n))
		if len(parts) > 1 {
			schema, table := split(parts[:len(parts)-1])
			w.object(schema, table, "table", useAlter)
			w.object("", parts[len(parts)-1], kind, use)
		}
	case pg.ObjectType_OBJECT_COLUMN, pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_DOMCONSTRAINT,
		pg.ObjectType_OBJECT_ATTRIBUTE:
		if parts := nameParts(message(n)); len(parts) > 1 {
			schema, name := split(parts[:len(parts)-1])
			w.object(schema, name, kind, useAlter)
		}
	case pg.ObjectType_OBJECT_CAST, pg.ObjectType_OBJECT_TRANSFORM:
		w.object("", pairName(n), kind, use)
	case pg.ObjectType_OBJECT_OPCLASS, pg.ObjectType_OBJECT_OPFAMILY:
		if parts := nameParts(message(n)); len(parts) > 1 { // the access method comes first
			schema, name := split(parts[1:])
			w.object(schema, name, kind, use)
		}
	default:
		w.node(n, kind, use)
	}
}

// pairName names a cast by its two types, a transform by its type and language.
func pairName(n *pg.Node) string {
	items := n.GetList().GetItems()
	if len(items) != 2 {
		return ""
	}
	if to := items[1].GetTypeName(); to != nil {
		return castName(items[0].GetTypeName(), to)
	}
	return typeName(items[0].GetTypeName()) + " " + items[1].GetString_().GetSval()
}

func castName(from, to *pg.TypeName) string { return typeName(from) + " AS " + typeName(to) }

func typeName(t *pg.TypeName) string { return strings.Join(words(t.GetNames()), ".") }

func partOfRelation(t pg.ObjectType) bool {
	switch t {
	case pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE, pg.ObjectType_OBJECT_POLICY,
		pg.ObjectType_OBJECT_TABCONSTRAINT:
		return true
	}
	return false
}

func either2[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}

// objects notes what a statement node is about. Relations inside it that are
// only read are found by the walk.
func (w *walker) objects(m proto.Message) {
	switch m := m.(type) {
	case *pg.SelectStmt:
		w.into(m.IntoClause, "table")
	case *pg.InsertStmt:
		w.target(m.Relation, "relation", useWrite)
	case *pg.UpdateStmt:
		w.target(m.Relation, "relation", useWrite)
	case *pg.DeleteStmt:
		w.target(m.Relation, "relation", useWrite)
	case *pg.MergeStmt:
		w.target(m.Relation, "relation", useWrite)
	case *pg.TruncateStmt:
		w.nodes(m.Relations, "table", useWrite)
		w.everything(m.Behavior == pg.DropBehavior_DROP_CASCADE, useWrite)
	case *pg.CreateTableAsStmt:
		w.into(m.Into, either(m.Objtype == pg.ObjectType_OBJECT_MATVIEW, "materialized view", "table"))
	case *pg.RefreshMatViewStmt:
		w.target(m.Relation, "materialized view", useWrite)
	case *pg.LockStmt:
		w.nodes(m.Relations, "relation", useRead)
	case *pg.VacuumStmt:
		w.nodes(m.Rels, "table", useRead)
		w.everything(len(m.Rels) == 0, useRead)
	case *pg.ClusterStmt:
		w.target(m.Relation, "table", useAlter)
		w.everything(m.Relation == nil, useAlter)
	case *pg.ReindexStmt:
		w.target(m.Relation, either(m.Kind == pg.ReindexObjectType_REINDEX_OBJECT_INDEX, "index", "table"), useAlter)
		w.object("", m.Name, reindexKind(m.Kind), useAlter)
		w.everything(m.Relation == nil && m.Kind != pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA, useAlter)
	default:
		w.moreObjects(m)
	}
}

func reindexKind(k pg.ReindexObjectType) string {
	return either(k == pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA, "schema", "database")
}

// everything notes that a statement without a name is about whatever there is.
func (w *walker) everything(is bool, use statement.Use) {
	if is {
		w.anything(use)
	}
}

// allIn notes a schema of which all objects of a kind are meant.
func (w *walker) allIn(schema, kind string, use statement.Use) {
	w.object("", schema, "schema", use)
	if schema != "" && schema != statement.Any {
		w.object(schema, statement.Any, kind, use)
	}
}

func (w *walker) into(into *pg.IntoClause, kind string) {
	if into != nil {
		w.target(into.Rel, kind, useCreate)
	}
}

// moreObjects goes on for the statements that serve many kinds of object, and
// for those on roles.
func (w *walker) moreObjects(m proto.Message) {
	switch m := m.(type) {
	case *pg.DefineStmt:
		w.named(m.Defnames, kindOf(m.Kind).name, useCreate)
	case *pg.DropStmt:
		for _, n := range m.Objects {
			w.ofKind(m.RemoveType, nil, n, useDrop)
		}
	case *pg.AlterTableStmt:
		w.target(m.Relation, kindOf(m.Objtype).name, useAlter)
	case *pg.RenameStmt:
		w.renamed(m)
	case *pg.AlterObjectSchemaStmt:
		w.ofKind(m.ObjectType, m.Relation, m.Object, useAlter)
		w.object("", m.Newschema, "schema", useRead)
		w.everything(m.ObjectType == pg.ObjectType_OBJECT_EXTENSION, useAlter)
	case *pg.AlterObjectDependsStmt:
		w.ofKind(m.ObjectType, m.Relation, m.Object, useAlter)
	case *pg.AlterOwnerStmt:
		w.ofKind(m.ObjectType, m.Relation, m.Object, useAlter)
		w.object("", roleName(m.Newowner), "role", useRead)
	case *pg.CommentStmt:
		w.ofKind(m.Objtype, nil, m.Object, useAlter)
	case *pg.SecLabelStmt:
		w.ofKind(m.Objtype, nil, m.Object, useAlter)
	case *pg.AlterExtensionContentsStmt:
		w.object("", m.Extname, "extension", useAlter)
		w.ofKind(m.Objtype, nil, m.Object, useAlter)
	case *pg.AlterTableMoveAllStmt:
		w.object("", m.OrigTablespacename, "tablespace", useAlter)
		w.anything(useAlter)
	case *pg.GrantStmt:
		w.granted(m)
	case *pg.AlterDefaultPrivilegesStmt:
		w.defaultPrivileges(m)
	case *pg.GrantRoleStmt:
		for _, n := range m.GrantedRoles {
			w.object("", n.GetAccessPriv().GetPrivName(), "role", useRead)
		}
		w.nodes(m.GranteeRoles, "role", useAlter)
	case *pg.AlterFunctionStmt:
		w.named(m.Func.GetObjname(), kindOf(m.Objtype).name, useAlter)
		w.storedSettings(m.Actions)
		for _, n := range m.Actions {
			w.leadsLater(n.GetDefElem().GetArg().GetVariableSetStmt())
		}
	default:
		w.created(m)
	}
}

func (w *walker) renamed(m *pg.RenameStmt) {
	switch m.RenameType {
	case pg.ObjectType_OBJECT_COLUMN, pg.ObjectType_OBJECT_ATTRIBUTE:
		w.ofKind(m.RelationType, m.Relation, m.Object, useAlter)
	case pg.ObjectType_OBJECT_DOMCONSTRAINT:
		w.node(m.Object, "domain", useAlter)
	case pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE, pg.ObjectType_OBJECT_POLICY:
		w.ofKind(m.RenameType, m.Relation, m.Object, useAlter)
		w.object("", m.Subname, kindOf(m.RenameType).name, useAlter)
	case pg.ObjectType_OBJECT_ROLE, pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_TABLESPACE,
		pg.ObjectType_OBJECT_SCHEMA:
		w.object("", m.Subname, kindOf(m.RenameType).name, useAlter)
	default:
		w.ofKind(m.RenameType, m.Relation, m.Object, useAlter)
	}
}

// defaultPrivileges notes where and of whom defaults change.
func (w *walker) defaultPrivileges(m *pg.AlterDefaultPrivilegesStmt) {
	for _, n := range m.Options {
		switch o := n.GetDefElem(); o.GetDefname() {
		case "schemas":
			w.nodes(o.GetArg().GetList().GetItems(), "schema", useAlter)
		case "roles":
			w.nodes(o.GetArg().GetList().GetItems(), "role", useAlter)
		}
	}
}

// granted notes what a GRANT or REVOKE is on, and whom it is for.
func (w *walker) granted(m *pg.GrantStmt) {
	kind := kindOf(m.Objtype).name
	if m.Targtype == pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA {
		for _, n := range m.Objects {
			w.allIn(n.GetString_().GetSval(), kind, useAlter)
		}
	} else {
		w.nodes(m.Objects, kind, useAlter)
	}
	w.nodes(m.Grantees, "role", useAlter)
}
