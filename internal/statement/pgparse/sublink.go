package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
)

// subLink folds a subquery that selects nothing: EXISTS of one without a
// condition, one that always has a row, one without FROM, `x IN (SELECT x FROM
// the same table)`.
func (j *judge) subLink(m *pg.SubLink) truth {
	s := m.Subselect.GetSelectStmt()
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
		if rows == always && in.picksItself(m, s) {
			return always
		}
	case pg.SubLinkType_ALL_SUBLINK:
		return either2(rows == never, always, depends)
	}
	return depends
}

// within returns a judge of a subquery's conditions: names of the target's table
// in it stand for the target too.
func (j *judge) within(s *pg.SelectStmt) *judge {
	in := &judge{target: j.target, itself: map[string]bool{}, offers: j.offers, literal: j.literal}
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
	if !j.unlimited(s) {
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

// picksItself tells if `x IN (SELECT x …)` asks for a row of the target in the
// target's own table.
func (j *judge) picksItself(m *pg.SubLink, s *pg.SelectStmt) bool {
	if name := words(m.OperName); len(name) > 0 && name[len(name)-1] != "=" {
		return false
	}
	if len(s.TargetList) != 1 || len(s.FromClause) != 1 || len(s.GroupClause) > 0 || !j.unlimited(s) {
		return false
	}
	return j.isTarget(s.FromClause[0].GetRangeVar()) && j.same(m.Testexpr, s.TargetList[0].GetResTarget().GetVal())
}
