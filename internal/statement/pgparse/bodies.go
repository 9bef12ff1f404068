package pgparse

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// do visits a DO block: its body is executed at once.
func (w *walker) do(m *pg.DoStmt) {
	language, body, at := "plpgsql", "", 0
	for _, n := range m.Args {
		o := n.GetDefElem()
		switch o.GetDefname() {
		case "language":
			language = o.Arg.GetString_().GetSval()
		case "as":
			body, at = o.Arg.GetString_().GetSval(), int(o.Location)
		}
	}
	w.body(language, body, at)
}

// createFunction visits a function or procedure that is created: its body adds
// tags and objects, no classes.
func (w *walker) createFunction(m *pg.CreateFunctionStmt) {
	w.storedSettings(m.Options)
	outer := w.variables
	w.variables = parameterNames(m, m.SqlBody)
	w.definition(m, 0)
	w.variables = outer
	language, body, at := "", "", -1
	for _, n := range m.Options {
		o := n.GetDefElem()
		switch o.GetDefname() {
		case "language":
			language = o.Arg.GetString_().GetSval()
		case "as":
			if items := o.Arg.GetList().GetItems(); len(items) > 0 {
				body, at = items[0].GetString_().GetSval(), int(o.Location)
			}
		}
	}
	if m.SqlBody != nil || at < 0 {
		return
	}
	if tree, err := pg.Parse(body); err == nil && language == "sql" {
		w.declared = parameterNames(m, tree)
	}
	kept, stored := w.adds, w.stored
	w.adds, w.stored = 0, true
	w.body(language, body, at)
	w.adds, w.stored = kept, stored
}

// parameterNames are the names of a function's parameters in a body in SQL. There a column of
// the same name comes first: where the body says $1 for a parameter, its name is taken for one.
func parameterNames(m *pg.CreateFunctionStmt, body proto.Message) map[string]bool {
	names, places := map[string]bool{}, []string{}
	for _, n := range m.Parameters {
		switch p := n.GetFunctionParameter(); p.GetMode() {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT, pg.FunctionParameterMode_FUNC_PARAM_TABLE:
		default:
			names[p.GetName()] = true
			places = append(places, p.GetName())
		}
	}
	anyNode(body, func(m proto.Message) bool {
		if p, ok := m.(*pg.ParamRef); ok && p.Number > 0 && int(p.Number) <= len(places) {
			delete(names, places[p.Number-1])
		}
		return false
	})
	return names
}

// storedSettings notes the settings that a function is to run under: they are
// stored, not made.
func (w *walker) storedSettings(options []*pg.Node) {
	for _, n := range options {
		if s := n.GetDefElem().GetArg().GetVariableSetStmt(); s != nil {
			w.claimed[s] = true
			w.bodySetting(s.Name)
		}
	}
}

// body follows the source of a function or DO block. A body with a secret in it
// is redacted whole, and so is one that cannot be read.
func (w *walker) body(language, source string, at int) {
	secret := false
	switch language {
	case "sql":
		secret = w.embeddedWith(w.declared, source, false)
	case "plpgsql":
		secret = w.plpgsql(source)
		secret = w.defaults([]byte(source)) || secret
	case "c":
		w.tag(tExternal)
	default:
		w.tag(tDynamic)
		w.anything(statement.UseRead)
		secret = statement.Telling([]byte(source))
	}
	if secret {
		w.secretAt(at)
	}
}

// embedded visits SQL that stands in a body, and tells if there is a secret in
// it. What cannot be read makes the whole statement Unknown. An expression is a
// SELECT only for the parser: it reads nothing by itself.
func (w *walker) embedded(sql string, expression bool) bool {
	return w.embeddedWith(nil, sql, expression)
}

// embeddedWith is embedded where names may be variables of a body's.
func (w *walker) embeddedWith(variables map[string]bool, sql string, expression bool) bool {
	if w.depth >= maxDepth || !w.legible([]byte(sql)) {
		w.unreadable()
		return true
	}
	tree, err := pg.Parse(sql)
	if err != nil {
		w.unreadable()
		return true
	}
	r := &reader{text: sql, raw: []byte(sql), depth: w.depth + 1, variables: variables}
	for _, raw := range tree.Stmts {
		in := newWalker(r, bounds(sql, raw))
		in.st, in.adds, in.noted, in.stored = w.st, w.adds, w.noted, w.stored
		m := message(raw.Stmt)
		if s, ok := m.(*pg.SelectStmt); ok && expression && len(s.FromClause) == 0 {
			in.claimed[s] = true
		}
		in.givenIn(m)
		in.walk(m)
	}
	r.suspicious()
	w.sensitive = w.sensitive || r.sensitive
	return len(r.secrets) > 0 || r.lost
}

// legible looks at a text within a literal as Read does at the whole one, which the escapes
// of E'…' and the quotes around it hide there. It tells if the parser reads it as
// PostgreSQL does.
func (r *reader) legible(raw []byte) bool {
	r.sensitive = r.sensitive || statement.Sensitive(raw)
	return !splits(raw) && !strangelyQuoted(raw, 0)
}

// plpgsql follows the PL/pgSQL body of the walker's own statement, and tells if
// there is a secret in it.
func (w *walker) plpgsql(source string) bool {
	if !w.legible([]byte(source)) {
		w.unreadable()
		return true
	}
	out, err := pg.ParsePlPgSqlToJSON(w.text[w.at.start:w.at.end])
	var tree any
	if err == nil {
		err = json.Unmarshal([]byte(out), &tree)
	}
	if err != nil || !hasBlock(tree) {
		w.unreadable()
		return true
	}
	w.declared = map[string]bool{}
	namesOf(tree, w.declared)
	return w.plNode(tree)
}

// namesOf adds the names of the variables in pg_query's tree.
func namesOf(v any, names map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			namesOf(item, names)
		}
	case map[string]any:
		if name, ok := v["refname"].(string); ok {
			names[name] = true
		}
		for _, part := range v {
			namesOf(part, names)
		}
	}
}

// hasBlock tells if there is a function with a block in pg_query's tree: where
// it loses its way, the tree is empty.
func hasBlock(tree any) bool {
	functions, _ := tree.([]any)
	if len(functions) != 1 {
		return false
	}
	item, _ := functions[0].(map[string]any)
	f, _ := item["PLpgSQL_function"].(map[string]any)
	return f["action"] != nil
}

// unreadable notes a body, or a part of one, that the parser refuses. It may hold
// a secret.
func (w *walker) unreadable() {
	w.class(statement.Unknown)
	w.tag(tDynamic)
}

// plNode visits a node of pg_query's tree of PL/pgSQL.
func (w *walker) plNode(v any) bool {
	secret := false
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			secret = w.plNode(item) || secret
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			secret = w.plField(key, v[key]) || secret
		}
	}
	return secret
}

func (w *walker) plField(key string, v any) bool {
	node, _ := v.(map[string]any)
	switch key {
	case "PLpgSQL_expr":
		query, _ := node["query"].(string)
		mode, _ := node["parseMode"].(float64)
		return w.plExpression(query, int(mode))
	case "PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors":
		w.tag(tDynamic)
		secret := w.plDynamic(node["query"])
		return w.plNode(v) || secret
	case "dynquery":
		w.tag(tDynamic)
		secret := w.plDynamic(v)
		return w.plNode(v) || secret
	case "PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback":
		w.tag(tTransaction)
	}
	return w.plNode(v)
}

// The modes in which PL/pgSQL parses what it embeds (RawParseMode, parser.h).
const (
	parseStatement  = 0
	parseTypeName   = 1
	parseExpression = 2
)

func (w *walker) plExpression(query string, mode int) bool {
	switch mode {
	case parseStatement:
		return w.embeddedWith(w.declared, query, false)
	case parseTypeName:
		return false
	case parseExpression:
		return w.embeddedWith(w.declared, "SELECT "+query, true)
	}
	left, right := assigned(query)
	secret := w.embeddedWith(w.declared, "SELECT "+right, true)
	if strings.ContainsRune(left, '[') {
		secret = w.embeddedWith(w.declared, "SELECT "+left, true) || secret
	}
	return secret
}

// assigned returns the sides of a PL/pgSQL assignment. Its left side can only be a
// variable, with subscripts, which are expressions.
func assigned(query string) (left, right string) {
	raw, depth := []byte(query), 0
	for l := sqllex.New(raw); ; {
		t := l.Next()
		switch s := query[t.Start:t.End]; {
		case t.Kind == sqllex.End:
			return "", query
		case s == "[" || s == "(":
			depth++
		case s == "]" || s == ")":
			depth--
		case (s == ":=" || s == "=") && depth == 0:
			return query[:t.Start], query[t.End:]
		}
	}
}

// plDynamic reads the SQL that EXECUTE runs, where it is written out whole; any other
// could name anything.
func (w *walker) plDynamic(v any) bool {
	node, _ := v.(map[string]any)
	expr, _ := node["PLpgSQL_expr"].(map[string]any)
	query, _ := expr["query"].(string)
	tree, err := pg.Parse("SELECT " + query)
	if err == nil && len(tree.Stmts) == 1 {
		if list := tree.Stmts[0].Stmt.GetSelectStmt().GetTargetList(); len(list) == 1 {
			if c := list[0].GetResTarget().GetVal().GetAConst().GetSval(); c != nil {
				return w.embedded(c.Sval, false)
			}
		}
	}
	w.anything(statement.UseRead)
	return false
}
