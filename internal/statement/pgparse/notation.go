package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// columnOrCall notes the function that x.f calls where x has no column f: f(x)
// (transformColumnRef, parse_expr.c). Of a name alone, only PostgreSQL's own functions
// that act are taken for one.
func (w *walker) columnOrCall(c *pg.ColumnRef) {
	if n := len(c.Fields); n > 1 {
		w.field(c.Fields[n-1].GetString_().GetSval(), nil, w.given[c.Fields[n-2].GetString_().GetSval()])
	}
}

// gives notes the name of what a function in FROM gives, which may be no row.
func (w *walker) gives(m *pg.RangeFunction) {
	if m.IsRowsfrom || m.Ordinality || len(m.Coldeflist) > 0 || len(m.Functions) != 1 {
		return
	}
	name := m.Alias.GetAliasname()
	if list := m.Functions[0].GetList().GetItems(); name == "" && len(list) > 0 {
		_, name = split(words(list[0].GetFuncCall().GetFuncname()))
	}
	w.given[name] = true
}

// givenIn returns the names of what functions in FROM give anywhere in a statement.
func (w *walker) givenIn(m proto.Message) {
	anyNode(m, func(m proto.Message) bool {
		if f, ok := m.(*pg.RangeFunction); ok {
			w.gives(f)
		}
		return false
	})
}

// fieldsOrCalls is columnOrCall for (x).f, which calls whatever f is where x is no row
// (transformIndirection).
func (w *walker) fieldsOrCalls(m *pg.A_Indirection) {
	of := m.Arg
	for _, n := range m.Indirection {
		w.field(n.GetString_().GetSval(), of, true)
		of = nil
	}
}

// field notes what is called by a name behind a dot; of is what stands before it, nil
// where the text does not tell. Where that may be no row, and the name may be a function
// of the database's own, it is left to whoever knows these.
func (w *walker) field(name string, of *pg.Node, noRow bool) {
	a := functionAction("", name)
	if left := (statement.Object{Name: name, Kind: "field"}); noRow && name != "" && a == ownFunction && !scalar(of) && w.adds&function != 0 && !w.noted[left] {
		w.noted[left] = true
		w.st.Fields = append(w.st.Fields, name)
	}
	if a == nil || a == ownFunction && !scalar(of) || strings.HasPrefix(name, "http") && !scalar(of) {
		return // columns are called http_get, too
	}
	if of == nil {
		of = &pg.Node{Node: &pg.Node_ParamRef{ParamRef: &pg.ParamRef{}}}
	}
	w.call(&pg.FuncCall{Funcname: []*pg.Node{pg.MakeStrNode(name)}, Args: []*pg.Node{of}})
}

// scalar tells if an expression is no row for sure, so that a name behind it is no
// column.
func scalar(n *pg.Node) bool {
	switch m := message(n).(type) {
	case *pg.A_Const, *pg.SQLValueFunction, *pg.BoolExpr, *pg.NullTest, *pg.BooleanTest, *pg.A_ArrayExpr:
		return true
	case *pg.CollateClause:
		return true
	case *pg.TypeCast:
		schema, name := split(words(m.TypeName.GetNames()))
		return ofSystem(schema) && (scalarTypes[name] || len(m.TypeName.GetArrayBounds()) > 0)
	case *pg.A_Expr:
		return m.Kind != pg.A_Expr_Kind_AEXPR_OP && m.Kind != pg.A_Expr_Kind_AEXPR_NULLIF ||
			(m.Lexpr == nil || scalar(m.Lexpr)) && scalar(m.Rexpr)
	}
	return false
}

// scalarTypes are PostgreSQL's own that people cast to.
var scalarTypes = map[string]bool{
	"bool": true, "int2": true, "int4": true, "int8": true, "float4": true, "float8": true, "numeric": true, "money": true,
	"text": true, "varchar": true, "bpchar": true, "char": true, "name": true, "bytea": true, "bit": true, "varbit": true,
	"date": true, "time": true, "timetz": true, "timestamp": true, "timestamptz": true, "interval": true,
	"oid": true, "regclass": true, "regproc": true, "regprocedure": true, "regtype": true, "regrole": true, "regnamespace": true,
	"uuid": true, "inet": true, "cidr": true, "macaddr": true, "json": true, "jsonb": true, "xml": true, "tsvector": true, "tsquery": true,
}
