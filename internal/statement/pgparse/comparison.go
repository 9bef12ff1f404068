package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
)

func operator(m *pg.A_Expr) string {
	parts := words(m.Name)
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

// comparison folds an operator.
func (j *judge) comparison(m *pg.A_Expr) truth {
	op := operator(m)
	switch m.Kind {
	case pg.A_Expr_Kind_AEXPR_OP:
		return j.compare(op, m.Lexpr, m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return j.compare("=", m.Lexpr, m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_DISTINCT:
		return j.distinct(m.Lexpr, m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_IN:
		return j.among(op, m.Lexpr, m.Rexpr.GetList().GetItems())
	case pg.A_Expr_Kind_AEXPR_OP_ANY:
		return j.among(op, m.Lexpr, uncast(m.Rexpr).GetAArrayExpr().GetElements())
	case pg.A_Expr_Kind_AEXPR_OP_ALL:
		return j.all(m.Rexpr)
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		return j.pattern(op, unescaped(m.Rexpr), likesAnything)
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		return j.between(m)
	case pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return j.between(m).not()
	}
	return depends
}

// distinct folds `a IS DISTINCT FROM b`, which takes NULL for a value.
func (j *judge) distinct(a, b *pg.Node) truth {
	x, ok := j.roughly(a)
	y, ok2 := j.roughly(b)
	switch {
	case ok && ok2 && (x.null || y.null):
		return truthOf(x.null != y.null)
	case ok && x.null:
		return j.isNotNull(b)
	case ok2 && y.null:
		return j.isNotNull(a)
	}
	return j.compare("<>", a, b)
}

func (j *judge) isNotNull(n *pg.Node) truth {
	return j.nullTest(&pg.NullTest{Arg: n, Nulltesttype: pg.NullTestType_IS_NOT_NULL})
}

func (j *judge) between(m *pg.A_Expr) truth {
	ends := m.Rexpr.GetList().GetItems()
	if len(ends) != 2 {
		return depends
	}
	return min(j.compare(">=", m.Lexpr, ends[0]), j.compare("<=", m.Lexpr, ends[1]))
}

// among folds `x IN (…)` and `x <> …`, ANY over a list that is written out.
func (j *judge) among(op string, x *pg.Node, list []*pg.Node) truth {
	if len(list) == 0 {
		return depends
	}
	found := never
	for _, item := range list {
		found = found.or(j.compare("=", x, item))
	}
	if bothTruths(list) {
		found = always
	}
	switch op {
	case "=":
		return found
	case "<>":
		return found.not()
	}
	return depends
}

// all folds a comparison with ALL of a list, which holds where the list is empty.
func (j *judge) all(list *pg.Node) truth {
	inner := uncast(list)
	if a := inner.GetAArrayExpr(); a != nil {
		return either2(len(a.Elements) == 0, always, depends)
	}
	v, ok := j.roughly(inner)
	if !ok {
		return depends
	}
	j.inspect()
	return either2(strings.TrimSpace(strings.Trim(strings.TrimSpace(v.text), "{}")) == "", always, depends)
}

// bothTruths tells if a list has all that a condition can be.
func bothTruths(list []*pg.Node) bool {
	var seen [2]bool
	for _, item := range list {
		if b := item.GetAConst().GetBoolval(); b != nil {
			seen[either2(b.Boolval, 1, 0)] = true
		}
	}
	return seen[0] && seen[1]
}

// compare folds a comparison of constants, or of a thing with itself.
func (j *judge) compare(op string, a, b *pg.Node) truth {
	a, b = j.simple(a), j.simple(b)
	x, ok := j.roughly(a)
	y, ok2 := j.roughly(b)
	switch {
	case ok && ok2:
		j.inspect()
		return exactly(func(v value) truth {
			return exactly(func(w value) truth { return v.compare(op, w) }, b)
		}, a)
	case ok2:
		if t := j.bounded(op, a, y, b); t != depends {
			return t
		}
	case ok:
		if t := j.bounded(mirrored[op], b, x, a); t != depends {
			return t
		}
	}
	if !j.same(a, b) {
		return depends
	}
	switch op {
	case "=", "<=", ">=", "~~", "@>", "<@", "&&":
		return always
	case "<>", "<", ">":
		strict := judge{literal: j.literal}
		return either2(strict.same(a, b), never, depends)
	}
	return depends
}

// mirrored are the operators that say the same with their sides exchanged.
var mirrored = map[string]string{"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

// bounded folds comparisons with a constant that everything passes.
func (j *judge) bounded(op string, a *pg.Node, v value, literal *pg.Node) truth {
	switch op {
	case "~~", "~~*", "!~~", "!~~*":
		return j.pattern(op, literal, likesAnything)
	case "~", "~*", "!~", "!~*":
		return j.pattern(op, literal, matchesAnything)
	case "^@":
		return j.pattern(op, literal, func(s string) bool { return s == "" })
	case "<", "<=", ">", ">=":
		return j.withinBounds(op, a, v, literal)
	}
	return depends
}

// withinBounds folds lengths that are not negative, random() between 0 and 1,
// times between the infinities, and rows that have a place.
func (j *judge) withinBounds(op string, a *pg.Node, v value, literal *pg.Node) truth {
	below, above := op == "<" || op == "<=", op == ">" || op == ">="
	if uncast(literal).GetAConst() == nil {
		j.inspect() // it was put together from several
	}
	if statement.Infinite(v.text) { // such a literal is never masked
		return either2(above == strings.HasPrefix(v.text, "-"), always, depends)
	}
	switch m := message(uncast(a)).(type) {
	case *pg.ColumnRef:
		if systemColumn(m) {
			j.inspect()
			return either2(above, always, depends)
		}
	case *pg.FuncCall:
		_, name := split(words(m.Funcname))
		if !notNegative[name] {
			return depends
		}
		j.inspect()
		if _, ok := constant(literal); !ok {
			return blind
		}
		low := v.numeric && above && (v.number < 0 || v.number == 0 && (op == ">=" || name == "random"))
		high := v.numeric && below && v.number >= 1 && name == "random"
		return either2(low || high, always, depends)
	}
	return depends
}

// notNegative are functions that give no number below 0.
var notNegative = map[string]bool{
	"abs": true, "length": true, "char_length": true, "character_length": true, "octet_length": true, "bit_length": true,
	"cardinality": true, "random": true, "pg_column_size": true, "strpos": true, "position": true,
}

// pattern folds a pattern that matches anything.
func (j *judge) pattern(op string, n *pg.Node, anything func(string) bool) truth {
	v, ok := j.roughly(n)
	if !ok {
		return depends
	}
	j.inspect()
	if v.null {
		return depends
	}
	if !anything(v.text) {
		_, ok := constant(n)
		return either2(ok, depends, blind)
	}
	return truthOf(!strings.HasPrefix(op, "!"))
}

func likesAnything(s string) bool { return s != "" && strings.Trim(s, "%") == "" }

func matchesAnything(s string) bool {
	switch strings.Trim(s, "^$()") {
	case "", ".*", ".", "|", ".+":
		return true
	}
	return false
}

// unescaped looks through what the grammar makes of SIMILAR TO and ESCAPE.
func unescaped(n *pg.Node) *pg.Node {
	f := n.GetFuncCall()
	if f == nil || len(f.Args) == 0 {
		return n
	}
	if _, name := split(words(f.Funcname)); name == "similar_to_escape" || name == "like_escape" {
		return f.Args[0]
	}
	return n
}

// function folds a call.
func (j *judge) function(m *pg.FuncCall) truth {
	if _, name := split(words(m.Funcname)); name == "starts_with" && len(m.Args) == 2 {
		return j.pattern("^@", m.Args[1], func(s string) bool { return s == "" })
	}
	return depends
}

// simple takes away what does not change a value: + 0, * 1, || ”; and makes
// x - x and x * 0 a 0. A constant keeps the cast, or the collation, around that.
func (j *judge) simple(n *pg.Node) *pg.Node {
	s := j.simpler(n)
	if uncast(n) != n && s != zero && uncast(s).GetAConst() != nil {
		return n
	}
	return s
}

func (j *judge) simpler(n *pg.Node) *pg.Node {
	m := uncast(n).GetAExpr()
	if m == nil || m.Kind != pg.A_Expr_Kind_AEXPR_OP || m.Lexpr == nil {
		return n
	}
	op := operator(m)
	if op == "-" && j.same(m.Lexpr, m.Rexpr) {
		return zero
	}
	other, c := m.Lexpr, uncast(m.Rexpr).GetAConst()
	if c == nil && strings.Contains("+*&||", op) {
		other, c = m.Rexpr, uncast(m.Lexpr).GetAConst()
	}
	if c == nil || (c.GetSval() != nil) != (op == "||") {
		return n
	}
	j.inspect()
	v := literal(c)
	switch {
	case (op == "+" || op == "-") && v.number == 0, (op == "*" || op == "/") && v.number == 1, op == "||" && v.text == "":
		return j.simple(other)
	case (op == "*" || op == "&") && v.number == 0:
		return zero
	}
	return n
}

var zero = pg.MakeAConstIntNode(0, -1)

// complementary tells if two alternatives exclude and complete each other: x
// and NOT x, x IS NULL and x IS NOT NULL, a < b and a >= b.
func (j *judge) complementary(args []*pg.Node) bool {
	const most = 16 // the search is quadratic
	for i := range min(len(args), most) {
		for _, b := range args[:i] {
			if j.negates(args[i], b) || j.negates(b, args[i]) {
				return true
			}
		}
	}
	return false
}

func (j *judge) negates(a, b *pg.Node) bool {
	if n := a.GetBoolExpr(); n != nil && n.Boolop == pg.BoolExprType_NOT_EXPR {
		return j.same(n.Args[0], b)
	}
	if n := a.GetBooleanTest(); n != nil && (n.Booltesttype == pg.BoolTestType_IS_NOT_TRUE || n.Booltesttype == pg.BoolTestType_IS_FALSE) {
		return j.same(n.Arg, b)
	}
	if x, y := a.GetNullTest(), b.GetNullTest(); x != nil && y != nil {
		return x.Nulltesttype != y.Nulltesttype && j.same(x.Arg, y.Arg)
	}
	x, y := a.GetAExpr(), b.GetAExpr()
	if x.GetKind() == pg.A_Expr_Kind_AEXPR_DISTINCT && y.GetKind() == pg.A_Expr_Kind_AEXPR_OP && operator(y) == "=" {
		return j.same(x.Lexpr, y.Lexpr) && j.same(x.Rexpr, y.Rexpr)
	}
	if x == nil || y == nil || opposite[operator(x)] != operator(y) || operator(y) == "" {
		return false
	}
	return j.same(x.Lexpr, y.Lexpr) && j.same(x.Rexpr, y.Rexpr)
}

var opposite = map[string]string{"=": "<>", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "<>": "="}
