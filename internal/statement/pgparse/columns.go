package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// eachColumn calls visit for each reference to a column in an expression, until
// visit returns false.
func eachColumn(m proto.Message, visit func(*pg.ColumnRef) bool) bool {
	if n, ok := m.(*pg.Node); ok {
		m = message(n)
	}
	if m == nil {
		return true
	}
	if c, ok := m.(*pg.ColumnRef); ok {
		return visit(c)
	}
	r := m.ProtoReflect()
	for _, f := range parts(r.Descriptor()) {
		if !r.Has(f) {
			continue
		}
		if !f.IsList() {
			if !eachColumn(r.Get(f).Message().Interface(), visit) {
				return false
			}
			continue
		}
		for i, list := 0, r.Get(f).List(); i < list.Len(); i++ {
			if !eachColumn(list.Get(i).Message().Interface(), visit) {
				return false
			}
		}
	}
	return true
}

// namesColumns tells if an expression refers to any column.
func namesColumns(n *pg.Node) bool {
	return !eachColumn(n, func(*pg.ColumnRef) bool { return false })
}
