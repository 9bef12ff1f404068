package pgparse

import (
	"cmp"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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

// uncast looks through casts, collations and the names of arguments.
func uncast(n *pg.Node) *pg.Node {
	for {
		switch m := n.GetNode().(type) {
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

// same tells if two expressions are written alike, but for casts, and for a
// table's name before a column that only one of them has.
func same(a, b *pg.Node) bool {
	x, y := message(uncast(a)), message(uncast(b))
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	if c, ok := x.(*pg.ColumnRef); ok {
		d, ok := y.(*pg.ColumnRef)
		return ok && sameColumn(words(c.Fields), words(d.Fields))
	}
	return alike(x.ProtoReflect(), y.ProtoReflect())
}

func sameColumn(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	n := min(len(a), len(b))
	for i := 1; i <= n; i++ {
		if a[len(a)-i] != b[len(b)-i] {
			return false
		}
	}
	return true
}

// alike compares two nodes without the places where they stand.
func alike(a, b protoreflect.Message) bool {
	if a.Descriptor() != b.Descriptor() {
		return false
	}
	equal := true
	a.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Name() == "location" {
			return true
		}
		equal = b.Has(f) && alikeValue(f, v, b.Get(f))
		return equal
	})
	if !equal {
		return false
	}
	b.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		equal = f.Name() == "location" || a.Has(f)
		return equal
	})
	return equal
}

func alikeValue(f protoreflect.FieldDescriptor, v, w protoreflect.Value) bool {
	switch {
	case f.IsList():
		x, y := v.List(), w.List()
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if f.Message() == nil && !x.Get(i).Equal(y.Get(i)) ||
				f.Message() != nil && !alikeMessage(x.Get(i).Message(), y.Get(i).Message()) {
				return false
			}
		}
		return true
	case f.Message() != nil:
		return alikeMessage(v.Message(), w.Message())
	}
	return v.Equal(w)
}

func alikeMessage(a, b protoreflect.Message) bool {
	x, ok := a.Interface().(*pg.Node)
	y, ok2 := b.Interface().(*pg.Node)
	if ok && ok2 {
		return same(x, y)
	}
	return alike(a, b)
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
