package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
)

// subLink folds a subquery that selects nothing: EXISTS of one without a
// condition, one that always has a row, one without FROM, `x IN (SELECT x FROM
// the same table)`.
func (j *judge) subLink(m *pg.SubLink) truth {
	s := m.Subselect.GetSelectStmt()
	if s != nil && m.SubLinkType == pg.SubLinkType_ANY_SUBLINK && j.picksItself(m, s) {
		return always
	}
	if s == nil || s.HavingClause != nil || s.Op != pg.SetOperation_SETOP_NONE {
		return depends
	}
	in := j.within(s)
	rows := always
	if s.WhereClause != nil {
		rows = in.condition(s.WhereClause)
	}
	switch m.SubLinkType {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return in.exists(s, rows)
	case pg.SubLinkType_EXPR_SUBLINK:
		if inner := bare(m); inner != nil {
			return j.condition(inner)
		}
	case pg.SubLinkType_ANY_SUBLINK:
		if rows == never {
			return never
		}
		if rows == always && in.picksAlike(m, s) {
			return always
		}
	case pg.SubLinkType_ALL_SUBLINK:
		return either2(rows == never, always, depends)
	}
	return depends
}

// within returns a judge of a subquery's conditions: names of the target's table
// in it stand for the target too.
func (j *judge) within(s *pg.SelectStmt) *judge { return j.inside(s, j.queries.with(s.WithClause)) }

// inside is within where these CTEs are known.
func (j *judge) inside(s *pg.SelectStmt, known queries) *judge {
	in := &judge{target: j.target, itself: map[string]bool{}, offers: j.offers, queries: known, read: j.read, literal: j.literal, variables: j.variables}
	for name := range j.itself {
		in.itself[name] = true
	}
	in.joined(s.FromClause)
	return in
}

// exists folds EXISTS. One that counts has a row whatever it counts.
func (j *judge) exists(s *pg.SelectStmt, rows truth) truth {
	if len(s.GroupClause) == 0 && aggregates(s.TargetList) {
		return always
	}
	if !j.unlimited(s) && !j.limitsToSome(s) {
		return min(rows, depends)
	}
	return either2(rows == always || rows == never, rows, depends)
}

// unlimited tells if a query has no LIMIT and no OFFSET that mean anything.
func (j *judge) unlimited(s *pg.SelectStmt) bool {
	limit, offset := s.LimitCount, s.LimitOffset
	if limit != nil {
		v, ok := j.roughly(limit)
		if !ok || !v.null { // LIMIT ALL and LIMIT NULL are alike
			return false
		}
	}
	if offset != nil {
		_, ok := j.roughly(offset)
		j.inspect()
		return ok && exactly(func(v value) truth { return truthOf(v.numeric && v.number == 0) }, offset) != never
	}
	return true
}

// limitsToSome tells if a query has a LIMIT that leaves a row, and no OFFSET.
func (j *judge) limitsToSome(s *pg.SelectStmt) bool {
	if s.LimitCount == nil || s.LimitOffset != nil {
		return false
	}
	j.inspect()
	_, ok := j.roughly(s.LimitCount)
	return ok && exactly(func(v value) truth { return truthOf(v.numeric && v.number >= 1) }, s.LimitCount) == always
}

// anyOfQuery is `x = ANY (ARRAY(SELECT …))` as `x = ANY (SELECT …)`, nil for anything else.
func anyOfQuery(m *pg.A_Expr) *pg.SubLink {
	array := uncast(m.GetRexpr()).GetSubLink()
	if m.Kind != pg.A_Expr_Kind_AEXPR_OP_ANY || array.GetSubLinkType() != pg.SubLinkType_ARRAY_SUBLINK {
		return nil
	}
	return &pg.SubLink{SubLinkType: pg.SubLinkType_ANY_SUBLINK, Testexpr: m.Lexpr, OperName: m.Name, Subselect: array.Subselect}
}

// aggregates tells if a query's list has an aggregate in it.
func aggregates(list []*pg.Node) bool {
	for _, n := range list {
		f := uncast(n.GetResTarget().GetVal()).GetFuncCall()
		if f == nil || f.Over != nil {
			continue
		}
		switch _, name := split(words(f.Funcname)); name {
		case "count", "sum", "min", "max", "avg", "array_agg", "string_agg", "bool_and", "bool_or", "every", "json_agg", "jsonb_agg":
			return true
		}
	}
	return false
}

// picksAlike tells if `x IN (SELECT x …)` asks for a row of the target in the target's own
// table, whatever x is.
func (j *judge) picksAlike(m *pg.SubLink, s *pg.SelectStmt) bool {
	if len(s.TargetList) != 1 || len(s.FromClause) != 1 || len(s.GroupClause) > 0 || distinctOn(s) || !j.unlimited(s) || !isEqual(m) {
		return false
	}
	from := s.FromClause[0].GetRangeVar()
	_, cte := j.cte(from, j.queries)
	return !cte && j.isTarget(from) && j.same(m.Testexpr, s.TargetList[0].GetResTarget().GetVal())
}

// picksItself tells if `x IN (SELECT x …)` asks for a column of the target's row in what has
// it of every row: a query of a query, a CTE, a UNION with it.
func (j *judge) picksItself(m *pg.SubLink, s *pg.SelectStmt) bool {
	tests := []*pg.Node{m.Testexpr}
	if row := m.Testexpr.GetRowExpr(); row != nil {
		tests = row.Args
	}
	for _, n := range tests {
		parts := words(uncast(n).GetColumnRef().GetFields())
		if columnName(n) == "" || len(parts) > 1 && !j.names(parts[len(parts)-2:]) {
			return false
		}
	}
	return isEqual(m) && j.picks(tests, s, j.queries)
}

func (j *judge) picks(tests []*pg.Node, s *pg.SelectStmt, known queries) bool {
	known = known.with(s.WithClause)
	switch {
	case !j.unlimited(s):
		return false
	case s.Op == pg.SetOperation_SETOP_UNION:
		return j.picks(tests, s.Larg, known) || j.picks(tests, s.Rarg, known)
	case s.Op == pg.SetOperation_SETOP_INTERSECT:
		return j.picks(tests, s.Larg, known) && j.picks(tests, s.Rarg, known)
	case len(tests) != len(s.TargetList) || !j.selectsEvery(s, known):
		return false
	}
	for i, n := range tests {
		column := columnName(n)
		if columnName(s.TargetList[i].GetResTarget().GetVal()) != column || !j.holds(s.FromClause[0], column, known) {
			return false
		}
	}
	return true
}

// isEqual tells if a subquery's rows are compared by =, as IN does.
func isEqual(m *pg.SubLink) bool {
	name := words(m.OperName)
	return len(name) == 0 || name[len(name)-1] == "="
}
