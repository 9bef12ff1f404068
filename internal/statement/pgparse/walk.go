package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// walker goes through one statement's tree and adds up what it finds.
type walker struct {
	*reader
	at      span // of the statement in the text
	st      *statement.Statement
	adds    statement.Class        // which classes count here: a definition is not executed
	around  statement.Class        // which count around the definition
	ctes    []namedQuery           // what WITH gives a name to, in scope
	pinned  value                  // of the query's only table, pg_settings: its name
	claimed map[proto.Message]bool // nodes whose object is already noted
	noted   map[statement.Object]bool

	declared map[string]bool // variables of the PL/pgSQL body that is followed
	given    map[string]bool // names of what functions in FROM give
	stored   bool            // what is visited is kept to be run by others, who need not say so
}

const allClasses = ^statement.Class(0)

func newWalker(r *reader, at span) *walker {
	return &walker{
		reader: r, at: at, adds: allClasses, around: allClasses, st: &statement.Statement{},
		claimed: map[proto.Message]bool{}, noted: map[statement.Object]bool{}, given: map[string]bool{},
	}
}

// class adds classes. Unknown counts everywhere.
func (w *walker) class(c statement.Class) { w.st.Class |= c & (w.adds | statement.Unknown) }

func (w *walker) tag(t statement.Tag) { w.st.Tags |= t }

// destructive notes what makes the statement so; the first reason is kept.
func (w *walker) destructive(phrase string) {
	w.tag(tDestructive)
	if w.st.Destructive == "" {
		w.st.Destructive = phrase
	}
}

func (w *walker) object(schema, name, kind string, use statement.Use) {
	w.note(statement.Object{Schema: schema, Name: name, Kind: kind, Use: use, Late: w.depth > 0})
}

func (w *walker) note(o statement.Object) {
	if o.Name != "" && !w.noted[o] {
		w.noted[o] = true
		w.st.Objects = append(w.st.Objects, o)
	}
}

// walk visits a node and everything in it.
func (w *walker) walk(m proto.Message) {
	if m == nil {
		return
	}
	if c, ok := lookup(m); ok && !w.claimed[m] {
		w.class(c.class)
		w.tag(c.tags)
		if c.tags&tDestructive != 0 {
			w.destructive(phrase(c.tag))
		}
		w.objects(m)
	}
	w.madeOf(m)
	if !w.special(m) {
		w.children(m)
	}
}

// special visits the nodes that are more than their parts, and tells if it has
// visited the parts as well.
func (w *walker) special(m proto.Message) bool {
	switch m := m.(type) {
	case *pg.SelectStmt:
		outer := w.pinned
		w.pinned = pinnedSetting(m)
		w.query(m, m.WithClause, nil)
		w.pinned = outer
	case *pg.InsertStmt:
		w.insert(m)
	case *pg.UpdateStmt:
		w.update(m)
	case *pg.DeleteStmt:
		w.delete(m)
	case *pg.MergeStmt:
		w.merge(m)
	case *pg.ExplainStmt:
		w.explain(m)
	case *pg.CreateFunctionStmt:
		w.createFunction(m)
	case *pg.DoStmt:
		w.do(m)
	case *pg.ViewStmt:
		w.viewOf(m.Query)
		w.definition(m, 0)
	case *pg.RuleStmt:
		w.viewByRule(m)
		w.definition(m, 0)
	case *pg.CreateTrigStmt, *pg.CreatePolicyStmt, *pg.AlterPolicyStmt, *pg.CreateStmt, *pg.CreateDomainStmt:
		w.definition(m, 0)
	case *pg.AlterDomainStmt:
		w.definition(m, either2(validates(m), evaluated, 0))
	case *pg.IndexStmt, *pg.AlterTableStmt:
		w.definition(m, evaluated)
	case *pg.AlterTableCmd:
		w.action(m)
	case *pg.PartitionBoundSpec:
		w.now(m)
	case *pg.TypeName:
		w.typeNamed(m)
	case *pg.LockingClause, *pg.ConstraintsSetStmt:
		// What looks like relations in the latter two are aliases and constraints.
	default:
		w.leaf(m)
		return false
	}
	return true
}

// leaf notes what a node says by itself; its parts are visited as well.
func (w *walker) leaf(m proto.Message) {
	switch m := m.(type) {
	case *pg.RangeVar:
		w.relation(m)
	case *pg.FuncCall:
		w.call(m)
	case *pg.ColumnRef:
		w.columnOrCall(m)
	case *pg.A_Indirection:
		w.fieldsOrCalls(m)
	case *pg.RangeFunction:
		w.systemUser(m)
	case *pg.VariableSetStmt:
		w.setting(m)
	case *pg.DefElem:
		w.option(m)
	case *pg.CopyStmt:
		w.copy(m)
	case *pg.PublicationObjSpec:
		w.allIn(either(m.Pubobjtype == pg.PublicationObjSpecType_PUBLICATIONOBJ_TABLES_IN_CUR_SCHEMA, statement.Any, m.Name), "relation", statement.UseRead)
	case *pg.CreateSubscriptionStmt:
		w.secretAt(int(m.ConninfoLocation))
	case *pg.AlterSubscriptionStmt:
		w.alterSubscription(m)
	case *pg.PrepareStmt, *pg.DeallocateStmt, *pg.DiscardStmt:
		w.hiddenNames()
	case *pg.ExecuteStmt, *pg.FetchStmt:
		w.hiddenStatement()
	default:
		w.olderCall(m)
		w.operators(m)
		w.drops(m)
	}
}

// relation notes a relation that is only named.
func (w *walker) relation(r *pg.RangeVar) {
	if w.claimed[r] || r.Schemaname == "" && w.isCTE(r.Relname) {
		return
	}
	w.object(r.Schemaname, r.Relname, "relation", statement.UseRead)
	w.everything(ofAllTables(r), statement.UseRead)
	if ofFiles[r.Relname] && ofSystem(r.Schemaname) {
		w.tag(tExternal)
	}
}

// ofFiles are the views that read the server's configuration files.
var ofFiles = map[string]bool{"pg_hba_file_rules": true, "pg_ident_file_mappings": true, "pg_file_settings": true}

// ofAllTables tells if a relation has values of other tables' rows: what the planner
// knows of them, or what is too long for them.
func ofAllTables(r *pg.RangeVar) bool {
	switch r.Relname {
	case "pg_stats", "pg_statistic", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic_ext_data":
		return ofSystem(r.Schemaname)
	}
	return r.Schemaname == "pg_toast"
}

func (w *walker) isCTE(name string) bool {
	for _, c := range w.ctes {
		if c.name == name {
			return true
		}
	}
	return false
}

// query visits a statement whose WITH gives names to queries, seen by what
// follows: all of them with RECURSIVE, otherwise each by those behind it. Else
// `WITH orders AS (SELECT * FROM orders) …` would hide the table.
func (w *walker) query(m proto.Message, with *pg.WithClause, target *pg.RangeVar) {
	if target != nil {
		w.claimed[target] = true
	}
	kept := len(w.ctes)
	if with != nil {
		w.with(with)
		w.claimed[with] = true
	}
	w.children(m)
	w.ctes = w.ctes[:kept]
}

func (w *walker) with(with *pg.WithClause) {
	if with.Recursive {
		for _, n := range with.Ctes {
			w.ctes = append(w.ctes, queryOf(n.GetCommonTableExpr()))
		}
	}
	for _, n := range with.Ctes {
		cte := n.GetCommonTableExpr()
		w.children(cte)
		if !with.Recursive {
			w.ctes = append(w.ctes, queryOf(cte))
		}
	}
}

// children visits the parts of a node, in the grammar's order.
func (w *walker) children(m proto.Message) {
	r := m.ProtoReflect()
	if !r.IsValid() {
		return
	}
	for _, f := range parts(r.Descriptor()) {
		if !r.Has(f) {
			continue
		}
		v := r.Get(f)
		if !f.IsList() {
			w.part(v.Message().Interface())
			continue
		}
		for i, list := 0, v.List(); i < list.Len(); i++ {
			w.part(list.Get(i).Message().Interface())
		}
	}
}

// part visits one part, unless it was visited before its turn.
func (w *walker) part(m proto.Message) {
	if n, ok := m.(*pg.Node); ok {
		m = message(n)
	}
	if with, ok := m.(*pg.WithClause); ok && w.claimed[with] {
		return
	}
	w.walk(m)
}

// message returns the node that a Node wraps, nil where it is empty.
func message(n *pg.Node) proto.Message {
	if n == nil || n.Node == nil {
		return nil
	}
	r := n.ProtoReflect()
	f := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	return r.Get(f).Message().Interface()
}

// partsOf remembers, per kind of node, the fields that hold nodes: most hold
// none. It is guarded by reading.
var partsOf = map[protoreflect.FullName][]protoreflect.FieldDescriptor{}

func parts(d protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	if known, ok := partsOf[d.FullName()]; ok {
		return known
	}
	fields := []protoreflect.FieldDescriptor{}
	for i := 0; i < d.Fields().Len(); i++ {
		if f := d.Fields().Get(i); f.Message() != nil && !f.IsMap() {
			fields = append(fields, f)
		}
	}
	partsOf[d.FullName()] = fields
	return fields
}
