package pgparse

import (
	"cmp"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// truth is what a condition is for the rows of the statement's table, as far as
// the text tells.
type truth int8

// The truths, in the order of AND: the least of several is what they are
// together.
const (
	never   truth = iota
	depends       // the row decides
	given         // no row decides, but a parameter: all rows or none
	blind         // no row decides: all or none
	always
)

func truthOf(yes bool) truth { return either2(yes, always, never) }

func (t truth) not() truth {
	switch t {
	case never:
		return always
	case always:
		return never
	case depends, given, blind:
	}
	return t
}

// or is what two alternatives are together. One that a parameter decides does
// not make a selection by rows less of one: `a = $1 OR $1 IS NULL` is how
// programs write a filter that can be left out.
func (t truth) or(u truth) truth {
	if t == given && u == depends || t == depends && u == given {
		return depends
	}
	return max(t, u)
}

// takesEveryRow tells if a condition takes every row, or takes all or none
// without a look at the row. NULLs are not considered: that `id = id` spares
// them is no reason to take it for a selection.
func (t truth) takesEveryRow() bool { return t >= given }

// judge folds the conditions of one statement on its target table.
type judge struct {
	target  *pg.RangeVar
	itself  map[string]bool // names that stand for the target's table, itself or joined to itself
	offers  offers          // columns that the statement's CTEs have
	queries queries         // that CTEs stand for
	read    *reads          // how far they were looked into
	literal *bool           // set where the judgement rests on what a literal says

	variables map[string]bool // names that are none of columns: PL/pgSQL refuses what could be both
}

// judges returns a judge of a statement's conditions; from are the tables that
// it joins, if any, and with are its CTEs, beside those of the statements around it.
func (w *walker) judges(target *pg.RangeVar, from []*pg.Node, with *pg.WithClause) *judge {
	known := queries{}
	for _, c := range w.ctes {
		known[c.name] = c.query
	}
	j := &judge{target: target, itself: map[string]bool{}, offers: offers{}.with(with), queries: known.with(with), read: &reads{open: map[*pg.SelectStmt]bool{}}, literal: &w.literal, variables: w.variables}
	j.itself[rangeName(target)] = true
	j.joined(from)
	return j
}

// inspect notes that the judgement rests on what a literal says.
func (j *judge) inspect() { *j.literal = true }

// joined adds the names under which the target's table is joined to itself:
// `t.id = u.id` then takes every row, if u is another name of t.
func (j *judge) joined(from []*pg.Node) {
	for _, n := range from {
		switch m := message(n).(type) {
		case *pg.RangeVar:
			if j.isAll(m, j.queries) {
				j.itself[rangeName(m)] = true
			}
		case *pg.JoinExpr:
			j.joined([]*pg.Node{m.Larg, m.Rarg})
		case *pg.RangeSubselect:
			if s := m.Subquery.GetSelectStmt(); s != nil && j.selectsAll(s, j.queries) {
				j.itself[m.Alias.GetAliasname()] = true
			}
		}
	}
}

// isTarget tells if a relation is the statement's own table. A name without a
// schema is taken for public's.
func (j *judge) isTarget(r *pg.RangeVar) bool {
	return j.target != nil && r != nil && r.Relname == j.target.Relname &&
		cmp.Or(r.Schemaname, "public") == cmp.Or(j.target.Schemaname, "public")
}

// rangeName is the name by which a query knows a relation.
func rangeName(r *pg.RangeVar) string {
	if a := r.GetAlias().GetAliasname(); a != "" {
		return a
	}
	return r.GetRelname()
}

// condition is what a condition comes to.
func (j *judge) condition(n *pg.Node) truth {
	if m := n.GetBoolExpr(); m != nil {
		return j.boolean(m)
	}
	t := j.fold(n)
	if t != depends || n == nil {
		return t
	}
	return j.unseen(n)
}

// unseen is what a condition is that could not be folded: it depends on the row,
// unless it does not look at it.
func (j *judge) unseen(n *pg.Node) truth {
	if j.looks(n) {
		return depends
	}
	return either2(j.holdsParameter(n), given, blind)
}

func (j *judge) boolean(m *pg.BoolExpr) truth {
	switch m.Boolop {
	case pg.BoolExprType_NOT_EXPR:
		return j.condition(m.Args[0]).not()
	case pg.BoolExprType_AND_EXPR:
		sum := always
		for _, a := range m.Args {
			sum = min(sum, j.condition(a))
		}
		return sum
	}
	sum := never
	for _, a := range m.Args {
		sum = sum.or(j.condition(a))
	}
	if sum == depends && j.complementary(m.Args) {
		return always
	}
	return sum
}

// fold is what a condition comes to that is no AND, OR or NOT.
func (j *judge) fold(n *pg.Node) truth {
	switch m := message(n).(type) {
	case *pg.A_Expr:
		if any := anyOfQuery(m); any != nil && j.subLink(any) == always {
			return always
		}
		return j.comparison(m)
	case *pg.NullTest:
		return j.nullTest(m)
	case *pg.BooleanTest:
		return j.booleanTest(m)
	case *pg.SubLink:
		return j.subLink(m)
	case *pg.CaseExpr:
		return j.caseOf(m)
	case *pg.CoalesceExpr:
		return j.coalesce(m)
	case *pg.FuncCall:
		return j.function(m)
	}
	if _, ok := j.roughly(n); ok {
		j.inspect()
		return exactly(value.truth, n)
	}
	if inner := uncast(n); inner != n {
		return j.condition(inner)
	}
	return depends
}

// coalesce is the first of its arguments that is not NULL by itself.
func (j *judge) coalesce(m *pg.CoalesceExpr) truth {
	for _, a := range m.Args {
		v, ok := j.roughly(a)
		if ok && v.null {
			continue
		}
		if t := j.condition(a); ok || t != never {
			return t
		} // what never holds may be NULL
	}
	return never
}

func (j *judge) nullTest(m *pg.NullTest) truth {
	if v, ok := j.roughly(m.Arg); ok {
		return truthOf(v.null == (m.Nulltesttype == pg.NullTestType_IS_NULL))
	}
	if m.Nulltesttype != pg.NullTestType_IS_NOT_NULL {
		return depends
	}
	switch x := message(uncast(m.Arg)).(type) {
	case *pg.ColumnRef:
		return either2(systemColumn(x), always, depends)
	case *pg.A_Expr, *pg.BoolExpr, *pg.NullTest, *pg.BooleanTest:
		return always // (id = 5) IS NOT NULL, whatever the id
	}
	return depends
}

func (j *judge) booleanTest(m *pg.BooleanTest) truth {
	t := j.condition(m.Arg)
	switch m.Booltesttype {
	case pg.BoolTestType_IS_TRUE, pg.BoolTestType_IS_NOT_FALSE:
		return t
	case pg.BoolTestType_IS_FALSE, pg.BoolTestType_IS_NOT_TRUE:
		return t.not()
	}
	// `id = NULL` is unknown whatever the id, and so is a comparison that never holds.
	if m.Booltesttype == pg.BoolTestType_IS_UNKNOWN && t == depends && !holdsNull(m.Arg) {
		return depends
	}
	return blind
}

// caseOf folds a CASE: what its first WHEN that always holds gives, or what all
// of its outcomes are.
func (j *judge) caseOf(m *pg.CaseExpr) truth {
	sum := never
	if m.Defresult != nil {
		sum = j.condition(m.Defresult)
	}
	for i := len(m.Args) - 1; i >= 0; i-- {
		when := m.Args[i].GetCaseWhen()
		holds := j.compare("=", m.Arg, when.GetExpr())
		if m.Arg == nil {
			holds = j.condition(when.GetExpr())
		}
		result := j.condition(when.GetResult())
		switch {
		case holds == always:
			sum = result
		case holds != never && result != sum:
			sum = depends
		}
	}
	return sum
}

// systemColumn tells if a column is one that every row has.
func systemColumn(c *pg.ColumnRef) bool {
	_, name := split(words(c.Fields))
	switch name {
	case "ctid", "tableoid", "xmin", "xmax", "cmin", "cmax":
		return true
	}
	return false
}
