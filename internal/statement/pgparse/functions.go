package pgparse

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// The names of the functions in pg_catalog of a fresh PostgreSQL 15, one per
// line, made by
//
//	SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace ORDER BY 1
//
// in the C collation. Those of later versions count as functions of the
// database's own, which errs on the safe side.
//
//go:embed builtins.txt
var builtinNames string

var builtins = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.Lines(builtinNames) {
		names[strings.TrimSuffix(name, "\n")] = true
	}
	return names
})

// call notes a function that is called. A call by an operator or a cast is not seen, and
// one by `row.function` as far as columnOrCall and fieldsOrCalls tell.
func (w *walker) call(f *pg.FuncCall) {
	schema, name := split(words(f.Funcname))
	w.secretArguments(name, f)
	a := functionAction(schema, name)
	if a == nil {
		return
	}
	w.class(a.class)
	w.tag(a.tags)
	if a.tags&tDestructive != 0 {
		w.destructive(name)
	}
	w.object(schema, name, "function", statement.UseExecute)
	w.st.Calls = w.st.Calls || a == ownFunction
	w.literal = w.literal || a.arg.kind != ""
	w.arguments(a.arg, f)
}

// ownFunction stands for a function of the database's own: what it does is not
// known.
var ownFunction = &action{class: function}

// functionAction returns what a function does, nil for one of PostgreSQL's that
// only computes. An unqualified name is taken for PostgreSQL's own where there
// is one; a qualified one only in pg_catalog. The extensions' names act in every
// schema, and never count for less than a function of the database's own.
func functionAction(schema, name string) *action {
	table := functionTable()
	inCatalog := schema == "" || schema == "pg_catalog"
	if inCatalog {
		if a := table[ofCatalog].find(name); a != nil {
			return a
		}
	}
	if a := table[ofExtensions].find(schema + "." + name); a != nil {
		return a
	}
	if a := table[ofExtensions].find(name); a != nil {
		return a
	}
	if inCatalog && builtins()[name] {
		return nil
	}
	return ownFunction
}

// arguments notes what a function's argument is.
func (w *walker) arguments(k argumentKind, f *pg.FuncCall) {
	switch k.kind {
	case "":
	case settingKind:
		w.setConfig(f)
	case "SQL":
		w.eachArgument(k, f, w.runs)
	case "SQL elsewhere":
		w.eachArgument(k, f, w.runsElsewhere)
	case anyKind:
		w.anything(k.use)
	case "names":
		w.queryOfNames(k, f)
	case "statistics":
		w.statisticsOf(k, f)
	case "schema":
		w.eachArgument(k, f, func(n *pg.Node) {
			v, ok := constant(n)
			if name := truncate(v.text); !v.null {
				w.allIn(either(ok, name, statement.Any), "relation", k.use)
			}
		})
	default:
		w.eachArgument(k, f, func(n *pg.Node) { w.relationArgument(k, n) })
	}
}

// relationArgument notes the relation that a function is given by its name: any, where
// the text does not tell which, or gives its OID. The sequence of a table's column counts
// as the table, in whose schema it is, and with whose owner.
func (w *walker) relationArgument(k argumentKind, n *pg.Node) {
	if f := uncast(n).GetFuncCall(); f != nil && len(f.Args) == 2 {
		if schema, name := split(words(f.Funcname)); name == "pg_get_serial_sequence" && (schema == "" || schema == "pg_catalog") {
			w.relationArgument(argumentKind{kind: "relation", use: k.use}, f.Args[0])
			return
		}
	}
	v, ok := constant(n)
	if v.null {
		return
	}
	parts, valid := identifiers(v.text)
	if !ok || !valid || digits(v.text) {
		w.object(statement.Any, statement.Any, k.kind, k.use)
		return
	}
	schema, name := split(parts)
	w.note(statement.Object{Schema: schema, Name: name, Kind: k.kind, Use: k.use, Late: w.depth > 0 || !lookedUpFirst(n)})
}

// lookedUpFirst tells whether a relation's name is turned into its OID while the
// statement is read: a literal is, of its own or by a cast. Any other text is when the
// function is called, and what stands before it in the statement has run.
func lookedUpFirst(n *pg.Node) bool {
	if a := n.GetNamedArgExpr(); a != nil {
		n = a.Arg
	}
	if c := n.GetTypeCast(); c != nil {
		if _, typ := split(words(c.TypeName.GetNames())); typ != "regclass" {
			return false
		}
		n = c.Arg
	}
	return n.GetAConst() != nil
}

// statisticsOf notes the relation whose statistics a function sets. Its schema and name are
// the first two arguments, or stand behind what they are.
func (w *walker) statisticsOf(k argumentKind, f *pg.FuncCall) {
	schema, name := argument(f, 0, "schemaname"), argument(f, 1, "relname")
	if _, called := split(words(f.Funcname)); strings.HasPrefix(called, "pg_restore_") {
		schema, name = valueOf(f, "schemaname"), valueOf(f, "relname")
	}
	s, ok := constant(schema)
	n, ok2 := constant(name)
	if !ok || !ok2 {
		w.anything(k.use)
		return
	}
	w.object(s.text, n.text, "relation", k.use)
}

// valueOf returns what stands behind a name among arguments that come in pairs.
func valueOf(f *pg.FuncCall, name string) (of *pg.Node) {
	for i := 1; i < len(f.Args); i += 2 {
		if v, ok := constant(f.Args[i-1]); !ok {
			return nil // it could be the name
		} else if lower(v.text) == name {
			of = f.Args[i]
		}
	}
	return of
}

// queryOfNames notes the relation of a query that a function puts together of its first
// arguments as they are written: any, where one of them is more than a name.
func (w *walker) queryOfNames(k argumentKind, f *pg.FuncCall) {
	for _, n := range f.Args[:min(4, len(f.Args))] {
		if v, ok := constant(n); !ok || strings.IndexFunc(v.text, notOfNames) >= 0 {
			w.anything(k.use)
			return
		}
	}
	w.eachArgument(k, f, func(n *pg.Node) { w.relationArgument(argumentKind{kind: "relation", use: k.use}, n) })
}

// notOfNames tells of a character that no name without quotes has.
func notOfNames(r rune) bool {
	return r < utf8.RuneSelf && r != '_' && r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// eachArgument calls visit for each argument that the table is about.
func (w *walker) eachArgument(k argumentKind, f *pg.FuncCall, visit func(*pg.Node)) {
	if k.of > 0 && k.of != len(f.Args) {
		return
	}
	for i, n := range f.Args {
		named := n.GetNamedArgExpr()
		if k.place < 0 || named == nil && k.place == i || tellingArguments[named.GetName()] {
			visit(n)
		}
	}
}

// tellingArguments are the names, in pg_proc, of the arguments that the table
// gives by their places.
var tellingArguments = map[string]bool{
	"query": true, "tbl": true, "schema": true, "sequence_oid": true,
	// of extensions
	"relname": true, "index_oid": true, "reloid": true, "table_name": true, "sql": true,
}

// anything notes that a statement touches what it does not name.
func (w *walker) anything(use statement.Use) {
	w.object(statement.Any, statement.Any, "relation", use)
}

// runs follows the query that a function is given to run, where it is written
// out whole; any other could name anything. Where it cannot be read, the statement is
// Unknown.
func (w *walker) runs(n *pg.Node) {
	switch v, ok := constant(n); {
	case !ok:
		w.anything(statement.UseRead)
	case !v.null && isText(n) && w.embedded(v.text, false):
		w.secretNode(n)
	}
}

// runsElsewhere follows SQL that another server runs: it adds its classes and
// tags, but no objects, for they are not this database's. A text that is no SQL
// is the name of a connection.
func (w *walker) runsElsewhere(n *pg.Node) {
	v, ok := constant(n)
	if !ok || v.null || !isText(n) {
		return
	}
	if tree, err := pg.Parse(v.text); err != nil || len(tree.Stmts) == 0 {
		return
	}
	there := newWalker(w.reader, w.at)
	if there.embedded(v.text, false) {
		w.secretNode(n)
	}
	w.class(there.st.Class)
	w.tag(there.st.Tags)
	if there.st.Destructive != "" {
		w.destructive(there.st.Destructive)
	}
}

// isText tells if a constant is a string, and not a number or a truth value.
func isText(n *pg.Node) bool {
	c := uncast(n).GetAConst()
	return c == nil || c.GetSval() != nil
}

// argument returns an argument by its place or its name, nil where it is missing.
func argument(f *pg.FuncCall, place int, name string) *pg.Node {
	for _, a := range f.Args {
		if n := a.GetNamedArgExpr(); n != nil && n.Name == name {
			return n.Arg
		}
	}
	if place < len(f.Args) && f.Args[place].GetNamedArgExpr() == nil {
		return f.Args[place]
	}
	return nil
}
