package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// parameters are what the parameters of CREATE OPERATOR, AGGREGATE, TYPE, TEXT SEARCH and
// their kin name; types stand for themselves (operatorcmds.c, aggregatecmds.c, typecmds.c,
// tsearchcmds.c).
var parameters = map[string]string{
	// of operators
	"function": "function", "procedure": "function", "restrict": "function", "join": "function",
	"commutator": "operator", "negator": "operator",
	// of aggregates
	"sfunc": "function", "sfunc1": "function", "finalfunc": "function", "combinefunc": "function", "serialfunc": "function", "deserialfunc": "function",
	"msfunc": "function", "minvfunc": "function", "mfinalfunc": "function", "sortop": "operator",
	// of types
	"input": "function", "output": "function", "receive": "function", "send": "function", "typmod_in": "function", "typmod_out": "function",
	"analyze": "function", "subscript": "function", "canonical": "function", "subtype_diff": "function", "subtype_opclass": "operator class",
	// of text search
	"start": "function", "gettoken": "function", "end": "function", "headline": "function", "lextypes": "function",
	"init": "function", "lexize": "function", "template": "text search template", "parser": "text search parser",
	// of foreign data wrappers and of functions
	"handler": "function", "validator": "function", "support": "function",
}

// madeOf notes what a definition names for others to call later.
func (w *walker) madeOf(m proto.Message) {
	switch m := m.(type) {
	case *pg.DefineStmt:
		w.parameters(m.Definition)
	case *pg.CreateRangeStmt:
		w.parameters(m.Params)
	case *pg.AlterTypeStmt:
		w.parameters(m.Options)
	case *pg.AlterOperatorStmt:
		w.parameters(m.Options)
	case *pg.CreateFdwStmt:
		w.parameters(m.FuncOptions)
	case *pg.AlterFdwStmt:
		w.parameters(m.FuncOptions)
	case *pg.CreateFunctionStmt:
		w.parameters(m.Options)
	case *pg.AlterFunctionStmt:
		w.parameters(m.Actions)
	case *pg.CreateCastStmt:
		w.uses("function", words(m.Func.GetObjname()))
	case *pg.CreateTransformStmt:
		w.uses("function", words(m.Fromsql.GetObjname()))
		w.uses("function", words(m.Tosql.GetObjname()))
	case *pg.CreateConversionStmt:
		w.uses("function", words(m.FuncName))
	case *pg.CreateAmStmt:
		w.uses("function", words(m.HandlerName))
	case *pg.CreatePLangStmt:
		w.uses("function", words(m.Plhandler))
		w.uses("function", words(m.Plinline))
		w.uses("function", words(m.Plvalidator))
	case *pg.CreateOpClassItem:
		w.uses(either(m.Itemtype == opClassFunction, "function", "operator"), words(m.Name.GetObjname()))
	}
}

// opClassFunction is OPCLASS_ITEM_FUNCTION (parsenodes.h).
const opClassFunction = 2

func (w *walker) parameters(list []*pg.Node) {
	for _, n := range list {
		o := n.GetDefElem()
		kind := parameters[lower(o.GetDefname())]
		if kind == "" {
			continue
		}
		m := message(o.GetArg())
		if t, ok := m.(*pg.TypeName); ok {
			w.claimed[t] = true
		}
		w.uses(kind, nameParts(m))
	}
}

// uses notes what a definition names. PostgreSQL's own functions that only compute are
// left out, as where they are called, and so are its operators. One that acts has its
// tags, with any arguments: who uses the definition calls it without saying so.
func (w *walker) uses(kind string, parts []string) {
	schema, name := split(parts)
	if name == "" || kind != "function" && ofSystem(schema) {
		return
	}
	if kind == "function" {
		a := functionAction(schema, name)
		if a == nil {
			return
		}
		w.acts(name, a)
	}
	w.object(schema, name, kind, statement.UseRead)
}

// acts notes what a function does, whatever it is given.
func (w *walker) acts(name string, a *action) {
	w.tag(a.tags)
	if a.tags&tDestructive != 0 {
		w.destructive(name)
	}
	if a.arg.kind == settingKind {
		w.anySettingIsSet()
	}
	if a.arg.kind != "" && a.arg.kind != "SQL elsewhere" {
		w.anything(statement.UseRead)
	}
}

// ofSystem tells if what is named may be PostgreSQL's own: no schema is given, or its.
func ofSystem(schema string) bool { return schema == "" || schema == "pg_catalog" }

// typeNamed notes a type whose schema is given, and the table of a column's %TYPE.
func (w *walker) typeNamed(t *pg.TypeName) {
	parts := words(t.Names)
	if w.claimed[t] || len(parts) < 2 {
		return
	}
	if t.PctType {
		schema, table := split(parts[:len(parts)-1])
		w.object(schema, table, "relation", statement.UseRead)
		return
	}
	if schema, name := split(parts); !ofSystem(schema) {
		w.object(schema, name, "type", statement.UseRead)
	}
}

// operators notes the operators whose schema is given: OPERATOR(private.###).
func (w *walker) operators(m proto.Message) {
	var name []*pg.Node
	switch m := m.(type) {
	case *pg.A_Expr:
		name = m.Name
	case *pg.SubLink:
		name = m.OperName
	case *pg.SortBy:
		name = m.UseOp
	case *pg.Constraint:
		for _, n := range m.Exclusions {
			if pair := n.GetList().GetItems(); len(pair) == 2 {
				w.operator(words(pair[1].GetList().GetItems()))
			}
		}
	case *pg.IndexElem:
		if schema, name := split(words(m.Opclass)); !ofSystem(schema) {
			w.object(schema, name, "operator class", statement.UseRead)
		}
	}
	w.operator(words(name))
}

func (w *walker) operator(parts []string) {
	if schema, name := split(parts); !ofSystem(schema) {
		w.object(schema, name, "operator", statement.UseExecute)
	}
}

// owner notes the table whose column a sequence is OWNED BY.
func (w *walker) owner(d *pg.DefElem) {
	if parts := words(d.Arg.GetList().GetItems()); len(parts) > 1 {
		schema, table := split(parts[:len(parts)-1])
		w.object(schema, table, "table", statement.UseRead)
	}
}
