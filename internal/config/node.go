package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxItems bounds a list, so that a mistake in a template is named before it
// fills the memory.
const maxItems = 100_000

// value is a node of the syntax tree with the way to it.
type value struct {
	node ast.Node
	path string
	at   *token.Position
	l    *loader
}

// errorf complains about the value.
func (v value) errorf(format string, args ...any) {
	v.l.complain(v.at, v.path, fmt.Sprintf(format, args...))
}

// child makes a value of a node below v. An alias stands for its anchor, but
// keeps its own position: that is where the reader has to look.
func (v value) child(node ast.Node, path string) value {
	c := value{node: node, path: path, at: position(node, v.at), l: v.l}
	for range 8 {
		switch n := c.node.(type) {
		case *ast.AnchorNode:
			c.node = n.Value
			continue
		case *ast.AliasNode:
			c.node = v.l.anchors[text(n.Value)]
			continue
		}
		break
	}
	return c
}

func position(node ast.Node, otherwise *token.Position) *token.Position {
	if node == nil {
		return otherwise
	}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		node = m.Values[0].Key
	}
	if t := node.GetToken(); t != nil && t.Position != nil {
		return t.Position
	}
	return otherwise
}

// text returns the characters of a scalar node.
func text(node ast.Node) string {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case nil:
		return ""
	default:
		if t := n.GetToken(); t != nil {
			return t.Value
		}
		return ""
	}
}

// kind names a node's type in words.
func kind(node ast.Node) string {
	switch n := node.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + text(n)
	case *ast.BoolNode:
		return "the truth value " + text(n)
	case *ast.TagNode:
		return "a YAML tag"
	default:
		return "something else"
	}
}

// object is a mapping whose keys are asked for one by one; what nobody asked
// for is unknown.
type object struct {
	value
	fields map[string]value
	keys   map[string]*token.Position
	order  []string
	known  []string
}

// object reads a mapping. After a complaint it returns an empty one, of which
// nothing is missing.
func (v value) object() (*object, bool) {
	o := &object{value: v, fields: map[string]value{}, keys: map[string]*token.Position{}}
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		v.errorf("expected a mapping (key: value), got %s", kind(v.node))
		return o, false
	}
	for _, pair := range pairs {
		o.add(pair)
	}
	return o, true
}

func (o *object) add(pair *ast.MappingValueNode) {
	at := position(pair.Key, o.at)
	key := text(pair.Key)
	path := join(o.path, printable(key))
	switch pair.Key.(type) {
	case *ast.MergeKeyNode:
		o.l.complain(at, o.path, "merge keys (<<) are not read: write the keys out, or use an anchor for a single value")
		return
	case *ast.StringNode:
	default:
		o.l.complain(at, o.path, fmt.Sprintf("a key is a string, not %s", kind(pair.Key)))
		return
	}
	if first, twice := o.keys[key]; twice {
		o.l.complain(at, path, fmt.Sprintf("given twice, first in line %d: remove one", first.Line))
		return
	}
	o.keys[key] = at
	o.order = append(o.order, key)
	o.fields[key] = value{at: at, l: o.l}.child(pair.Value, path)
}

// printable quotes a key that a terminal would act on.
func printable(key string) string {
	if strings.IndexFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return strconv.Quote(key)
	}
	return key
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// get returns the value of an optional key.
func (o *object) get(key string) (value, bool) {
	o.known = append(o.known, key)
	v, ok := o.fields[key]
	if !ok {
		return value{}, false
	}
	if _, null := v.node.(*ast.NullNode); null || v.node == nil {
		v.errorf("has no value: give one, or remove the key")
		return value{}, false
	}
	return v, true
}

// need returns the value of a required key.
func (o *object) need(key, why string) (value, bool) {
	v, ok := o.get(key)
	if _, given := o.keys[key]; !ok && !given {
		o.errorf("%q is missing: %s", key, why)
	}
	return v, ok
}

// section returns a mapping below o, an empty one where it is absent.
func (o *object) section(key string) *object {
	if v, ok := o.get(key); ok {
		s, _ := v.object()
		return s
	}
	return &object{value: value{path: join(o.path, key), at: o.at, l: o.l}}
}

// done complains about every key that nobody asked for.
func (o *object) done() {
	for _, key := range o.order {
		if slices.Contains(o.known, key) {
			continue
		}
		o.l.complain(o.keys[key], join(o.path, printable(key)), unknownKey(key, o.known))
	}
}

func unknownKey(key string, known []string) string {
	if strings.EqualFold(key, "password") || strings.EqualFold(key, "bind_password") {
		return "unknown key: a password does not stand in this file, name its file or environment variable (" + key + "_file, " + key + "_env)"
	}
	if s := closest(key, known); s != "" {
		return fmt.Sprintf("unknown key; did you mean %q?", s)
	}
	return "unknown key; known here: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// items reads a list.
func (v value) items() []value {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.errorf("expected a list, got %s", kind(v.node))
		return nil
	}
	if len(seq.Values) > maxItems {
		v.errorf("has %d items, more than %d", len(seq.Values), maxItems)
		return nil
	}
	out := make([]value, 0, len(seq.Values))
	for i, n := range seq.Values {
		out = append(out, v.child(n, fmt.Sprintf("%s[%d]", v.path, i)))
	}
	return out
}

// emptyList reports whether v is a list without items.
func (v value) emptyList() bool {
	seq, ok := v.node.(*ast.SequenceNode)
	return ok && len(seq.Values) == 0
}
