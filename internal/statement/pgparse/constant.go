package pgparse

import (
	"cmp"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// value is a constant of a text: NULL, a number, a truth value or a string. A
// string that reads as a number or a truth value compares as one.
type value struct {
	null    bool
	text    string
	number  float64
	numeric bool
}

func textValue(s string) value {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return value{text: s, number: f, numeric: err == nil}
}

func numberValue(f float64) value {
	return value{text: strconv.FormatFloat(f, 'g', -1, 64), number: f, numeric: true}
}

// truth is what the value is as a boolean (boolin, bool.c).
func (v value) truth() truth {
	switch s := lower(strings.TrimSpace(v.text)); {
	case v.null:
		return never
	case v.numeric:
		return truthOf(v.number != 0)
	case s != "" && (strings.HasPrefix("true", s) || strings.HasPrefix("yes", s) || s == "on"):
		return always
	case s != "" && (strings.HasPrefix("false", s) || strings.HasPrefix("no", s) || s == "off" || s == "of"):
		return never
	}
	return depends
}

func (v value) compare(op string, w value) truth {
	if v.null || w.null {
		// With transform_null_equals, `x = NULL` means `x IS NULL`.
		return truthOf(v.null && w.null && op == "=")
	}
	c := cmp.Compare(v.text, w.text)
	if v.numeric && w.numeric {
		c = cmp.Compare(v.number, w.number)
	}
	switch op {
	case "=":
		return truthOf(c == 0)
	case "<>":
		return truthOf(c != 0)
	case "<":
		return truthOf(c < 0)
	case "<=":
		return truthOf(c <= 0)
	case ">":
		return truthOf(c > 0)
	case ">=":
		return truthOf(c >= 0)
	}
	return depends
}

// constant folds an expression of constants.
func constant(n *pg.Node) (value, bool) {
	switch m := message(uncast(n)).(type) {
	case *pg.A_Const:
		return literal(m), true
	case *pg.A_Expr:
		return arithmetic(m)
	}
	return value{}, false
}

// constant is constant for a judgement. Whether an expression of several constants
// folds rests on what its literals say, whichever way it comes out.
func (j *judge) constant(n *pg.Node) (value, bool) {
	if e := uncast(n).GetAExpr(); e != nil && ofConstants(e) {
		j.inspect()
	}
	return constant(n)
}

// ofConstants tells if an expression has constants alone in it.
func ofConstants(m *pg.A_Expr) bool {
	for _, n := range []*pg.Node{m.Lexpr, m.Rexpr} {
		switch side := message(uncast(n)).(type) {
		case nil, *pg.A_Const:
		case *pg.A_Expr:
			if !ofConstants(side) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func literal(c *pg.A_Const) value {
	switch v := c.Val.(type) {
	case *pg.A_Const_Ival:
		return numberValue(float64(v.Ival.GetIval()))
	case *pg.A_Const_Fval:
		return textValue(v.Fval.GetFval())
	case *pg.A_Const_Boolval:
		return value{text: strconv.FormatBool(v.Boolval.GetBoolval())}
	case *pg.A_Const_Sval:
		return textValue(v.Sval.GetSval())
	case *pg.A_Const_Bsval:
		return value{text: v.Bsval.GetBsval()}
	}
	if c.Isnull {
		return value{null: true}
	}
	return numberValue(0) // protobuf leaves a zero out
}

// bare returns the expression that a scalar subquery without FROM is, nil where
// it is more.
func bare(m *pg.SubLink) *pg.Node {
	s := m.GetSubselect().GetSelectStmt()
	if s == nil || m.SubLinkType != pg.SubLinkType_EXPR_SUBLINK || len(s.TargetList) != 1 || len(s.FromClause) > 0 ||
		s.WhereClause != nil || s.HavingClause != nil || s.LimitCount != nil || s.LimitOffset != nil ||
		s.WithClause != nil || s.Op != pg.SetOperation_SETOP_NONE {
		return nil
	}
	return s.TargetList[0].GetResTarget().GetVal()
}

func arithmetic(m *pg.A_Expr) (value, bool) {
	if m.Kind != pg.A_Expr_Kind_AEXPR_OP {
		return value{}, false
	}
	b, ok := constant(m.Rexpr)
	if !ok {
		return value{}, false
	}
	if m.Lexpr == nil {
		return numberValue(-b.number), operator(m) == "-" && b.numeric
	}
	a, ok := constant(m.Lexpr)
	if !ok {
		return value{}, false
	}
	numbers := a.numeric && b.numeric
	switch operator(m) {
	case "+":
		return numberValue(a.number + b.number), numbers
	case "-":
		return numberValue(a.number - b.number), numbers
	case "*":
		return numberValue(a.number * b.number), numbers
	case "||":
		return textValue(a.text + b.text), !a.null && !b.null
	}
	return value{}, false
}

// uncast looks through casts, collations, the names of arguments, and subqueries
// that are only an expression: (SELECT 1).
func uncast(n *pg.Node) *pg.Node {
	for {
		switch m := n.GetNode().(type) {
		case *pg.Node_SubLink:
			inner := bare(m.SubLink)
			if inner == nil {
				return n
			}
			n = inner
		case *pg.Node_TypeCast:
			n = m.TypeCast.GetArg()
		case *pg.Node_CollateClause:
			n = m.CollateClause.GetArg()
		case *pg.Node_NamedArgExpr:
			n = m.NamedArgExpr.GetArg()
		default:
			return n
		}
	}
}

// number returns how an Integer or Float node is written.
func number(m proto.Message) string {
	switch m := m.(type) {
	case *pg.Integer:
		return strconv.Itoa(int(m.Ival))
	case *pg.Float:
		return m.Fval
	}
	return ""
}

// lower folds ASCII, as PostgreSQL folds the names of settings.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
