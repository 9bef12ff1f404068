package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// looks tells if an expression looks at the row of the statement's table: at a
// column with no table before it, which may be the row's own, or with the
// target's name before it, or at a cursor's row. What looks at other tables
// alone takes all rows or none.
func (j *judge) looks(n *pg.Node) bool { return j.looksFrom(n, j.offers, j.variables) }

// looksFrom is looks where CTEs are in scope, and columns of subqueries and CTEs,
// which a name without a table means before it means the row's own.
func (j *judge) looksFrom(n proto.Message, ctes offers, own map[string]bool) bool {
	return anyPart(n, func(m proto.Message) (looks, into bool) {
		switch m := m.(type) {
		case *pg.ColumnRef:
			parts := words(m.Fields)
			if len(parts) == 1 && len(m.Fields) == 1 && own[parts[0]] {
				return false, false
			}
			return len(m.Fields) < 2 || len(parts) < 2 && j.names(parts) || len(parts) >= 2 && j.names(parts[len(parts)-2:]), false
		case *pg.CurrentOfExpr:
			return true, false
		case *pg.SelectStmt:
			in := ctes.with(m.WithClause)
			if more := in.of(m.FromClause, own); len(more) > len(own) || len(in) > len(ctes) {
				for _, part := range selected(m) {
					if j.looksFrom(part, in, more) {
						return true, false
					}
				}
				return false, false
			}
		}
		return false, true
	})
}

// names tells if the first part is the target's name, or another one of its table:
// what `t.id = x.id` ties to the row looks at it as well.
func (j *judge) names(parts []string) bool {
	return len(parts) > 0 && j.itself[parts[0]]
}

// holdsParameter tells if an expression has a $1, or a variable, in it.
func (j *judge) holdsParameter(n *pg.Node) bool {
	return anyNode(n, func(m proto.Message) bool {
		if c, ok := m.(*pg.ColumnRef); ok && len(c.Fields) == 1 {
			return j.variables[c.Fields[0].GetString_().GetSval()]
		}
		_, ok := m.(*pg.ParamRef)
		return ok
	})
}

// holdsNull tells if an expression has a NULL in it.
func holdsNull(n *pg.Node) bool {
	return anyNode(n, func(m proto.Message) bool {
		c, ok := m.(*pg.A_Const)
		return ok && c.Isnull
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
	return anyPart(m, func(m proto.Message) (yes, into bool) { return is(m), true })
}

// anyPart is anyNode that goes into those alone that is says to.
func anyPart(m proto.Message, is func(proto.Message) (yes, into bool)) bool {
	if n, ok := m.(*pg.Node); ok {
		m = message(n)
	}
	if m == nil {
		return false
	}
	if yes, into := is(m); yes || !into {
		return yes
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
			if anyPart(r.Get(f).Message().Interface(), is) {
				return true
			}
			continue
		}
		for i, list := 0, r.Get(f).List(); i < list.Len(); i++ {
			if anyPart(list.Get(i).Message().Interface(), is) {
				return true
			}
		}
	}
	return false
}
