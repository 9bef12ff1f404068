package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// looks tells if an expression looks at the row of the statement's table: at a
// column with no table before it, which may be the row's own, or with the
// target's name before it, or at a cursor's row. What looks at other tables
// alone takes all rows or none.
func (j *judge) looks(n *pg.Node) bool {
	return anyNode(n, func(m proto.Message) bool {
		switch m := m.(type) {
		case *pg.ColumnRef:
			parts := words(m.Fields)
			return len(m.Fields) < 2 || len(parts) < 2 && j.names(parts) || len(parts) >= 2 && j.names(parts[len(parts)-2:])
		case *pg.CurrentOfExpr:
			return true
		}
		return false
	})
}

// names tells if the first part is the target's name, or another one of its table:
// what `t.id = x.id` ties to the row looks at it as well.
func (j *judge) names(parts []string) bool {
	return len(parts) > 0 && j.itself[parts[0]]
}

// holdsParameter tells if an expression has a $1 in it.
func holdsParameter(n *pg.Node) bool {
	return anyNode(n, func(m proto.Message) bool {
		_, ok := m.(*pg.ParamRef)
		return ok
	})
}

// namesColumns tells if an expression refers to any column.
func namesColumns(n *pg.Node) bool {
	return anyNode(n, func(m proto.Message) bool {
		_, ok := m.(*pg.ColumnRef)
		return ok
	})
}

// anyNode tells if a node, or one in it, is of a kind.
func anyNode(m proto.Message, is func(proto.Message) bool) bool {
	if n, ok := m.(*pg.Node); ok {
		m = message(n)
	}
	if m == nil {
		return false
	}
	if is(m) {
		return true
	}
	r := m.ProtoReflect()
	if !r.IsValid() {
		return false
	}
	for _, f := range parts(r.Descriptor()) {
		if !r.Has(f) {
			continue
		}
		if !f.IsList() {
			if anyNode(r.Get(f).Message().Interface(), is) {
				return true
			}
			continue
		}
		for i, list := 0, r.Get(f).List(); i < list.Len(); i++ {
			if anyNode(list.Get(i).Message().Interface(), is) {
				return true
			}
		}
	}
	return false
}
