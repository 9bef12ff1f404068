package pgparse

import (
	"fmt"
	"maps"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// offers are the columns of CTEs, by the CTE's name, as far as the text names them.
type offers map[string][]string

// with adds the CTEs of a clause.
func (o offers) with(clause *pg.WithClause) offers {
	if clause == nil {
		return o
	}
	out := maps.Clone(o)
	for _, n := range clause.Ctes {
		cte := n.GetCommonTableExpr()
		out[cte.GetCtename()] = columnsOf(cte.GetCtequery().GetSelectStmt(), words(cte.GetAliascolnames()))
	}
	return out
}

// of adds to the columns of outer queries those that a FROM clause is known to have.
func (o offers) of(from []*pg.Node, outer map[string]bool) map[string]bool {
	own := maps.Clone(outer)
	if own == nil {
		own = map[string]bool{}
	}
	for _, n := range from {
		var columns, aliases []string
		switch m := message(n).(type) {
		case *pg.RangeVar:
			if m.Schemaname == "" {
				columns, aliases = o[m.Relname], words(m.GetAlias().GetColnames())
			}
		case *pg.RangeSubselect:
			columns, aliases = columnsOf(m.Subquery.GetSelectStmt(), nil), words(m.GetAlias().GetColnames())
		case *pg.JoinExpr:
			own = o.of([]*pg.Node{m.Larg, m.Rarg}, own)
		}
		for i, c := range columns {
			if i < len(aliases) {
				c = aliases[i]
			}
			own[c] = true
		}
	}
	return own
}

// columnsOf names a query's columns; "" stands for one whose name the text does not
// tell.
func columnsOf(s *pg.SelectStmt, aliases []string) []string {
	for s.GetLarg() != nil {
		s = s.Larg
	}
	var out []string
	for _, n := range s.GetTargetList() {
		t := n.GetResTarget()
		name := t.GetName()
		if c := t.GetVal().GetColumnRef(); name == "" && c != nil {
			if parts := words(c.Fields); len(parts) == len(c.Fields) {
				name = parts[len(parts)-1]
			}
		}
		out = append(out, name)
	}
	if lists := s.GetValuesLists(); len(lists) > 0 {
		for i := range lists[0].GetList().GetItems() {
			out = append(out, fmt.Sprintf("column%d", i+1))
		}
	}
	copy(out, aliases)
	return out
}

// selected are the parts of a query in which the columns of its FROM clause are in
// scope, and that clause.
func selected(s *pg.SelectStmt) []proto.Message {
	var out []proto.Message
	for _, list := range [][]*pg.Node{s.DistinctClause, s.TargetList, s.FromClause, s.GroupClause, s.WindowClause, s.ValuesLists, s.SortClause} {
		for _, n := range list {
			out = append(out, n)
		}
	}
	for _, n := range []*pg.Node{s.WhereClause, s.HavingClause, s.LimitCount, s.LimitOffset} {
		if n != nil {
			out = append(out, n)
		}
	}
	if s.Larg != nil {
		out = append(out, s.Larg, s.Rarg)
	}
	if s.WithClause != nil {
		out = append(out, s.WithClause)
	}
	return out
}
