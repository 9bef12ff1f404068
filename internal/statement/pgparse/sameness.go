package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// same tells if two expressions are written alike, but for casts, for a table's
// name before a column that only one of them has, and for two names of the
// target's own table.
func (j *judge) same(a, b *pg.Node) bool {
	x, y := message(uncast(a)), message(uncast(b))
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	if c, ok := x.(*pg.ColumnRef); ok {
		d, ok := y.(*pg.ColumnRef)
		return ok && j.sameColumn(words(c.Fields), words(d.Fields))
	}
	return j.alike(x.ProtoReflect(), y.ProtoReflect())
}

// sameColumn compares the parts of two columns' names, from the last one on.
func (j *judge) sameColumn(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 || a[len(a)-1] != b[len(b)-1] {
		return false
	}
	if len(a) > 1 && len(b) > 1 && j.itself[a[len(a)-2]] && j.itself[b[len(b)-2]] {
		return true
	}
	for i := 2; i <= min(len(a), len(b)); i++ {
		if a[len(a)-i] != b[len(b)-i] {
			return false
		}
	}
	return true
}

// alike compares two nodes without the places where they stand.
func (j *judge) alike(a, b protoreflect.Message) bool {
	if a.Descriptor() != b.Descriptor() {
		return false
	}
	if _, constants := a.Interface().(*pg.A_Const); constants {
		j.inspect()
	}
	equal := true
	a.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Name() == "location" {
			return true
		}
		equal = b.Has(f) && j.alikeValue(f, v, b.Get(f))
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

func (j *judge) alikeValue(f protoreflect.FieldDescriptor, v, w protoreflect.Value) bool {
	switch {
	case f.IsList():
		x, y := v.List(), w.List()
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if f.Message() == nil && !x.Get(i).Equal(y.Get(i)) ||
				f.Message() != nil && !j.alikeMessage(x.Get(i).Message(), y.Get(i).Message()) {
				return false
			}
		}
		return true
	case f.Message() != nil:
		return j.alikeMessage(v.Message(), w.Message())
	}
	return v.Equal(w)
}

func (j *judge) alikeMessage(a, b protoreflect.Message) bool {
	x, ok := a.Interface().(*pg.Node)
	y, ok2 := b.Interface().(*pg.Node)
	if ok && ok2 {
		return j.same(x, y)
	}
	return j.alike(a, b)
}
