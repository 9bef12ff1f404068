package pgparse

import (
	"cmp"
	"math"
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
	quoted  bool // a string, of whatever type it becomes
	about   bool // a number that was computed, and may differ in its last digits
	cut     bool // as far as a domain of the session's own that is called text leaves it
	opaque  bool // written otherwise than it reads: the name of an object, bits
}

func textValue(s string) value {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return value{text: s, number: f, numeric: err == nil, quoted: true}
}

func numberValue(f float64) value {
	return value{text: strconv.FormatFloat(f, 'f', -1, 64), number: f, numeric: true}
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

// compare folds a comparison. Where types, or a collation, that the text does not tell
// may have it come out otherwise, it is blind.
func (v value) compare(op string, w value) truth {
	if v.null || w.null {
		// With transform_null_equals, `x = NULL` means `x IS NULL`.
		return truthOf(v.null && w.null && op == "=")
	}
	c := cmp.Compare(v.text, w.text)
	if v.numeric && w.numeric && !(v.quoted && w.quoted) {
		c = cmp.Compare(v.number, w.number)
	}
	if !v.comparesExactly(op, w, c) {
		return blind
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

// comparesExactly tells if two values can only compare as their texts, or numbers, do:
// c is how. NaN is no number here, and to PostgreSQL the largest.
func (v value) comparesExactly(op string, w value, c int) bool {
	switch {
	case v.opaque || w.opaque || math.IsNaN(v.number) || math.IsNaN(w.number):
		return false
	case v.numeric && w.numeric && !(v.quoted && w.quoted):
		return v.integer() && w.integer() || c != 0 && !v.about && !w.about
	case v.quoted && w.quoted:
		return c == 0 || op == "=" || op == "<>"
	}
	return v.text == w.text
}

// integer tells if a number is one that is written, or computed, to the last digit.
func (v value) integer() bool {
	const most = 1 << 53
	return v.numeric && !v.about && strings.Trim(v.text, "-0123456789") == "" && math.Abs(v.number) < most
}

// computed is a number that two others make.
func computed(f float64, a, b value) value {
	v := numberValue(f)
	v.about = !a.integer() || !b.integer() || !v.integer()
	return v
}

// constant folds an expression of constants. One that a cast may have changed is none:
// 'searching'::varchar(6) is another word.
func constant(n *pg.Node) (value, bool) {
	switch m := n.GetNode().(type) {
	case *pg.Node_AConst:
		return literal(m.AConst), true
	case *pg.Node_AExpr:
		return arithmetic(m.AExpr)
	case *pg.Node_SubLink:
		if inner := bare(m.SubLink); inner != nil {
			return constant(inner)
		}
	case *pg.Node_CollateClause:
		if schema, name := split(words(m.CollateClause.GetCollname())); ofSystem(schema) && byteByByte[name] {
			return constant(m.CollateClause.GetArg())
		}
	case *pg.Node_NamedArgExpr:
		return constant(m.NamedArgExpr.GetArg())
	case *pg.Node_TypeCast:
		if v, ok := constant(m.TypeCast.GetArg()); ok {
			return v.cast(m.TypeCast.GetTypeName())
		}
	}
	return value{}, false
}

// byteByByte are PostgreSQL's own collations to which two texts are equal only where they are
// the same. One of the database's own may have 'a' equal 'A'.
var byteByByte = map[string]bool{"C": true, "POSIX": true, "default": true, "ucs_basic": true}

// maxName is how many bytes a name keeps (NAMEDATALEN, pg_config_manual.h).
const maxName = 63

// cast is the value as that type, where the type leaves it what it is.
func (v value) cast(t *pg.TypeName) (value, bool) {
	schema, name := split(words(t.GetNames()))
	switch {
	case v.null:
		return v, true
	case v.opaque || schema != "" && schema != "pg_catalog" || len(t.GetTypmods()) > 0 || len(t.GetArrayBounds()) > 0 || t.GetSetof():
		return value{}, false
	}
	written := v.quoted || !v.numeric // a number is written anew: 1e3::text is 1000
	switch name {
	case "text", "varchar":
		v.quoted, v.cut = true, v.cut || schema == ""
		return v, written
	case "name":
		v.quoted, v.cut = true, v.cut || schema == ""
		return v, written && len(v.text) <= maxName
	case "int2", "int4", "int8":
		return numberValue(v.number), v.integer()
	case "numeric", "float8":
		v.quoted = false
		return v, v.numeric
	case "bool":
		t := v.truth()
		return value{text: strconv.FormatBool(t == always)}, t == always || t == never
	case "regclass", "regproc", "regprocedure", "regtype", "regnamespace", "regconfig", "regdictionary", "regoper", "regoperator":
		v.opaque = true // it comes out again without a schema, or quoted
		return v, true
	}
	return value{}, false
}

// roughly is what a constant was before its casts. Whether an expression of several
// constants folds rests on what its literals say, whichever way it comes out.
func (j *judge) roughly(n *pg.Node) (value, bool) {
	switch m := message(uncast(n)).(type) {
	case *pg.A_Const:
		return literal(m), true
	case *pg.A_Expr:
		if ofConstants(m) {
			j.inspect()
		}
		return arithmetic(m)
	}
	return value{}, false
}

// exactly folds what does not look at the row: by its value, where casts have left that
// as it was.
func exactly(fold func(value) truth, n *pg.Node) truth {
	v, ok := constant(n)
	if !ok {
		return blind
	}
	return fold(v)
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
		f := textValue(v.Fval.GetFval())
		f.quoted = false
		return f
	case *pg.A_Const_Boolval:
		return value{text: strconv.FormatBool(v.Boolval.GetBoolval())}
	case *pg.A_Const_Sval:
		return textValue(v.Sval.GetSval())
	case *pg.A_Const_Bsval:
		return value{text: v.Bsval.GetBsval(), opaque: true}
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
	schema, op := split(words(m.Name))
	if m.Kind != pg.A_Expr_Kind_AEXPR_OP || !ofSystem(schema) {
		return value{}, false
	}
	b, ok := constant(m.Rexpr)
	if !ok {
		return value{}, false
	}
	if m.Lexpr == nil {
		return computed(-b.number, b, b), op == "-" && b.numeric
	}
	a, ok := constant(m.Lexpr)
	if !ok {
		return value{}, false
	}
	numbers := a.numeric && b.numeric
	switch op {
	case "+":
		return computed(a.number+b.number, a, b), numbers
	case "-":
		return computed(a.number-b.number, a, b), numbers
	case "*":
		return computed(a.number*b.number, a, b), numbers
	case "||":
		v := textValue(a.text + b.text)
		v.cut = a.cut || b.cut
		return v, a.quoted && b.quoted && !a.opaque && !b.opaque
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
