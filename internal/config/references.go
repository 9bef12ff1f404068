package config

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// anchorsOf are the anchors of a tree, by name.
type anchorsOf map[string]ast.Node

// references walks a tree in the order of the file, and complains of what would make an
// alias stand for something else than its reader sees.
type references struct{ l *loader }

// Visit implements ast.Visitor.
func (r references) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.AnchorNode:
		name := text(n.Name)
		if first, twice := r.l.anchors[name]; twice {
			r.l.complain(position(n, nil), "", fmt.Sprintf("there are two anchors &%s, the first in line %d: give each a name of its own", name, position(first, nil).Line))
		}
		r.l.anchors[name] = n.Value
	case *ast.AliasNode:
		if name := text(n.Value); r.l.anchors[name] == nil {
			r.l.complain(position(n, nil), "", fmt.Sprintf("there is no anchor &%s above: name it where its value stands, or write the value out", name))
		}
	default:
	}
	return r
}
