package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// truth is what a condition is for every row, as far as the text tells.
type truth int8

const (
	never   truth = -1
	depends truth = 0
	always  truth = 1
)

func truthOf(yes bool) truth { return either2(yes, always, never) }

// alwaysTrue tells if a WHERE takes every row of the target: because it is
// constant, or because it compares a thing with itself (NULLs are not
// considered: that such a condition spares them is not a reason to take it for
// a selection).
func alwaysTrue(n *pg.Node, target *pg.RangeVar) bool {
	return judge{target}.condition(n) == always
}

// judge folds conditions of a statement on target, which may be nil.
type judge struct{ target *pg.RangeVar }

func (j judge) condition(n *pg.Node) truth {
	switch m := message(n).(type) {
	case *pg.BoolExpr:
		return j.boolean(m)
	case *pg.A_Expr:
		return j.comparison(m)
	case *pg.NullTest:
		return j.nullTest(m)
	case *pg.BooleanTest:
		return j.booleanTest(m)
	case *pg.SubLink:
		return j.subLink(m)
	case *pg.CaseExpr:
		return j.caseOf(m)
	case *pg.CoalesceExpr:
		if len(m.Args) > 0 {
			return j.condition(m.Args[0])
		}
	default:
		if v, ok := constant(n); ok {
			return v.truth()
		}
		if inner := uncast(n); inner != n {
			return j.condition(inner)
		}
	}
	return depends
}

func (j judge) boolean(m *pg.BoolExpr) truth {
	if m.Boolop == pg.BoolExprType_NOT_EXPR {
		return -j.condition(m.Args[0])
	}
	decides, sum := always, never // OR: one true decides, all false is false
	if m.Boolop == pg.BoolExprType_AND_EXPR {
		decides, sum = never, always
	}
	for _, a := range m.Args {
		switch t := j.condition(a); t {
		case decides:
			return decides
		case depends:
			sum = depends
		default:
		}
	}
	if sum == depends && m.Boolop == pg.BoolExprType_OR_EXPR && complementary(m.Args) {
		return always
	}
	return sum
}

// complementary tells if two alternatives exclude and complete each other: x
// and NOT x, x IS NULL and x IS NOT NULL, a < b and a >= b.
func complementary(args []*pg.Node) bool {
	const most = 16 // the search is quadratic
	for i := range min(len(args), most) {
		for _, b := range args[:i] {
			if negates(args[i], b) || negates(b, args[i]) {
				return true
			}
		}
	}
	return false
}

func negates(a, b *pg.Node) bool {
	if n := a.GetBoolExpr(); n != nil && n.Boolop == pg.BoolExprType_NOT_EXPR {
		return same(n.Args[0], b)
	}
	if x, y := a.GetNullTest(), b.GetNullTest(); x != nil && y != nil {
		return x.Nulltesttype != y.Nulltesttype && same(x.Arg, y.Arg)
	}
	x, y := a.GetAExpr(), b.GetAExpr()
	if x == nil || y == nil || !same(x.Lexpr, y.Lexpr) || !same(x.Rexpr, y.Rexpr) {
		return false
	}
	opposite := map[string]string{"=": "<>", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "<>": "="}
	return opposite[operator(x)] == operator(y) && operator(y) != ""
}

func operator(m *pg.A_Expr) string {
	parts := words(m.Name)
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

func (j judge) comparison(m *pg.A_Expr) truth {
	op := operator(m)
	switch m.Kind {
	case pg.A_Expr_Kind_AEXPR_OP:
		return compare(op, m.Lexpr, m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return compare("=", m.Lexpr, m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_DISTINCT:
		return compare("<>", m.Lexpr, m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_IN:
		return among(op, m.Lexpr, m.Rexpr.GetList().GetItems())
	case pg.A_Expr_Kind_AEXPR_OP_ANY:
		return among(op, m.Lexpr, uncast(m.Rexpr).GetAArrayExpr().GetElements())
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		if v, ok := constant(m.Rexpr); ok && v.text != "" && strings.Trim(v.text, "%") == "" {
			return truthOf(!strings.HasPrefix(op, "!"))
		}
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		if ends := m.Rexpr.GetList().GetItems(); len(ends) == 2 {
			low, high := compare(">=", m.Lexpr, ends[0]), compare("<=", m.Lexpr, ends[1])
			return min(low, high)
		}
	}
	return depends
}

// among folds `x IN (…)` and `x <> …`, ANY over a list that is written out.
func among(op string, x *pg.Node, list []*pg.Node) truth {
	found := never
	for _, item := range list {
		switch compare("=", x, item) {
		case always:
			found = always
		case depends:
			found = either2(found == always, always, depends)
		default:
		}
	}
	if len(list) == 0 {
		return depends
	}
	return either2(op == "=", found, either2(op == "<>", -found, depends))
}

// compare folds a comparison of constants, or of a thing with itself.
func compare(op string, a, b *pg.Node) truth {
	x, ok := constant(a)
	y, ok2 := constant(b)
	if ok && ok2 {
		return x.compare(op, y)
	}
	if op == "~" && ok2 && (y.text == "" || y.text == ".*" || y.text == "." || y.text == "^") {
		return always
	}
	if !same(a, b) {
		return depends
	}
	switch op {
	case "=", "<=", ">=", "~~", "@>", "<@", "&&":
		return always
	case "<>", "<", ">":
		return never
	}
	return depends
}

func (j judge) nullTest(m *pg.NullTest) truth {
	v, ok := constant(m.Arg)
	if !ok {
		return depends
	}
	return truthOf(v.null == (m.Nulltesttype == pg.NullTestType_IS_NULL))
}

func (j judge) booleanTest(m *pg.BooleanTest) truth {
	t := j.condition(m.Arg)
	switch m.Booltesttype {
	case pg.BoolTestType_IS_TRUE, pg.BoolTestType_IS_NOT_FALSE:
		return t
	case pg.BoolTestType_IS_FALSE, pg.BoolTestType_IS_NOT_TRUE:
		return -t
	}
	if t == depends {
		return depends
	}
	return truthOf(m.Booltesttype == pg.BoolTestType_IS_NOT_UNKNOWN)
}

// caseOf folds a CASE whose outcomes are all alike, or whose first WHEN always
// holds.
func (j judge) caseOf(m *pg.CaseExpr) truth {
	sum := never
	if m.Defresult != nil {
		sum = j.condition(m.Defresult)
	}
	for i, n := range m.Args {
		when := n.GetCaseWhen()
		result := j.condition(when.GetResult())
		if i == 0 && m.Arg == nil && j.condition(when.GetExpr()) == always {
			return result
		}
		if result != sum {
			sum = depends
		}
	}
	return sum
}

// subLink folds a subquery that selects nothing: EXISTS of one without a
// condition, one without FROM, and `x IN (SELECT x FROM the same table)`.
func (j judge) subLink(m *pg.SubLink) truth {
	s := m.Subselect.GetSelectStmt()
	if s == nil || s.WhereClause != nil && j.condition(s.WhereClause) != always ||
		s.HavingClause != nil || s.LimitOffset != nil || s.LimitCount != nil || s.Op != pg.SetOperation_SETOP_NONE {
		return depends
	}
	switch m.SubLinkType {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return always
	case pg.SubLinkType_EXPR_SUBLINK:
		if len(s.TargetList) == 1 {
			return j.condition(s.TargetList[0].GetResTarget().GetVal())
		}
	case pg.SubLinkType_ANY_SUBLINK:
		if len(s.TargetList) == 1 && len(m.OperName) == 0 && j.onTarget(s) &&
			same(m.Testexpr, s.TargetList[0].GetResTarget().GetVal()) {
			return always
		}
	}
	return depends
}

// onTarget tells if a query reads the statement's own table alone.
func (j judge) onTarget(s *pg.SelectStmt) bool {
	if j.target == nil || len(s.FromClause) != 1 {
		return false
	}
	from := s.FromClause[0].GetRangeVar()
	return from.GetRelname() == j.target.Relname
}
