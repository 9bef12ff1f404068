package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// olderCall notes what the grammar, which is PostgreSQL 17's, takes for syntax of its
// own, and a server before 16 or 17 for the call of a function: of the database's own,
// for it has none of that name in pg_catalog.
func (w *walker) olderCall(m proto.Message) {
	if name := olderName(m); name != "" && !w.claimed[m] {
		w.class(function)
		w.object("", name, "function", statement.UseExecute)
	}
}

// olderName returns the name of the function that a node would call there, "" where
// only SQL/JSON's own clauses could have made it.
func olderName(m proto.Message) string {
	switch m := m.(type) {
	case *pg.JsonFuncExpr:
		return when(plainArgument(m.ContextItem) && m.Output == nil && len(m.Passing) == 0 && m.OnEmpty == nil && m.OnError == nil &&
			m.Wrapper <= pg.JsonWrapper_JSW_UNSPEC && m.Quotes <= pg.JsonQuotes_JS_QUOTES_UNSPEC, jsonFunctions[m.Op])
	case *pg.JsonParseExpr:
		return when(plainArgument(m.Expr) && !m.UniqueKeys, "json")
	case *pg.JsonScalarExpr:
		return when(m.Output == nil, "json_scalar")
	case *pg.JsonSerializeExpr:
		return when(plainArgument(m.Expr) && m.Output == nil, "json_serialize")
	case *pg.JsonObjectConstructor:
		return when(len(m.Exprs) == 0 && m.Output == nil, "json_object")
	case *pg.JsonArrayConstructor:
		return when(plainArguments(m.Exprs) && m.Output == nil && absentOnNull(m), "json_array")
	case *pg.JsonArrayAgg:
		return when(plainArgument(m.Arg) && m.Constructor.GetOutput() == nil && m.AbsentOnNull, "json_arrayagg")
	case *pg.MergeSupportFunc:
		return "merge_action"
	}
	return ""
}

var jsonFunctions = map[pg.JsonExprOp]string{
	pg.JsonExprOp_JSON_EXISTS_OP: "json_exists",
	pg.JsonExprOp_JSON_QUERY_OP:  "json_query",
	pg.JsonExprOp_JSON_VALUE_OP:  "json_value",
}

// absentOnNull tells if an array's NULLs are left out, as they are where nothing is
// said of them; of an empty one the grammar tells nothing.
func absentOnNull(m *pg.JsonArrayConstructor) bool { return m.AbsentOnNull || len(m.Exprs) == 0 }

// plainArgument tells if an argument has no FORMAT.
func plainArgument(v *pg.JsonValueExpr) bool {
	return v.GetFormat().GetFormatType() <= pg.JsonFormatType_JS_FORMAT_DEFAULT
}

func plainArguments(list []*pg.Node) bool {
	for _, n := range list {
		if v := n.GetJsonValueExpr(); v != nil && !plainArgument(v) {
			return false
		}
	}
	return true
}

// merged keeps merge_action() from being taken for a call in the RETURNING of a MERGE,
// which older servers lack.
func (w *walker) merged(m *pg.MergeStmt) {
	for _, n := range m.ReturningList {
		anyNode(n, func(m proto.Message) bool {
			if f, ok := m.(*pg.MergeSupportFunc); ok {
				w.claimed[f] = true
			}
			return false
		})
	}
}

// systemUser notes the table that FROM system_user reads before 16.
func (w *walker) systemUser(m *pg.RangeFunction) {
	if m.IsRowsfrom || len(m.Functions) != 1 {
		return
	}
	f := m.Functions[0].GetList().GetItems()
	if len(f) == 0 {
		return
	}
	call := f[0].GetFuncCall()
	if _, name := split(words(call.GetFuncname())); name == "system_user" && call.Funcformat == pg.CoercionForm_COERCE_SQL_SYNTAX {
		w.object("", name, "relation", statement.UseRead)
	}
}
