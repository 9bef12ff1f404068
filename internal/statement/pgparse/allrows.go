package pgparse

import (
	"maps"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// queries are those that CTEs stand for, by the CTE's name; nil for one that is no SELECT.
type queries map[string]*pg.SelectStmt

// namedQuery is a CTE.
type namedQuery struct {
	name  string
	query *pg.SelectStmt // nil where it is no SELECT, or has columns of other names
}

func queryOf(cte *pg.CommonTableExpr) namedQuery {
	q := namedQuery{name: cte.GetCtename()}
	if len(cte.GetAliascolnames()) == 0 {
		q.query = cte.GetCtequery().GetSelectStmt()
	}
	return q
}

// with adds the CTEs of a clause.
func (q queries) with(clause *pg.WithClause) queries {
	if clause == nil {
		return q
	}
	out := maps.Clone(q)
	for _, n := range clause.Ctes {
		cte := queryOf(n.GetCommonTableExpr())
		out[cte.name] = cte.query
	}
	return out
}

// cte returns the query that a relation's name stands for; in that query itself it stands
// for the table.
func (j *judge) cte(r *pg.RangeVar, known queries) (s *pg.SelectStmt, is bool) {
	if r == nil || r.Schemaname != "" {
		return nil, false
	}
	s, is = known[r.Relname]
	if is && s != nil && j.read.open[s] {
		return nil, false
	}
	return s, is
}

// reads are the queries of CTEs that a judge looks into, and its copies for subqueries.
type reads struct {
	steps int
	open  map[*pg.SelectStmt]bool
}

// mostSteps bounds how many queries are looked into: CTEs of CTEs can be many.
const mostSteps = 1000

// within calls look between the opening and the closing of a CTE's query.
func (r *reads) within(s *pg.SelectStmt, look func() bool) bool {
	if r.steps++; s == nil || r.steps > mostSteps {
		return false
	}
	r.open[s] = true
	defer delete(r.open, s)
	return look()
}

// holds tells if an item of a FROM clause has every row of the statement's own table, with
// its column of that name under that name: the table itself, or a query or CTE of no more.
func (j *judge) holds(n *pg.Node, column string, known queries) bool {
	switch m := message(n).(type) {
	case *pg.RangeVar:
		if len(m.GetAlias().GetColnames()) > 0 {
			return false
		}
		if s, is := j.cte(m, known); is {
			return j.read.within(s, func() bool { return j.holdsQuery(s, column, known) })
		}
		return j.isTarget(m)
	case *pg.RangeSubselect:
		s := m.Subquery.GetSelectStmt()
		return s != nil && len(m.GetAlias().GetColnames()) == 0 && j.holdsQuery(s, column, known)
	}
	return false
}

// holdsQuery is holds for a query.
func (j *judge) holdsQuery(s *pg.SelectStmt, column string, known queries) bool {
	known = known.with(s.WithClause)
	switch {
	case !j.unlimited(s):
		return false
	case s.Op == pg.SetOperation_SETOP_UNION:
		return j.holdsQuery(s.Larg, column, known) || j.holdsQuery(s.Rarg, column, known)
	case s.Op == pg.SetOperation_SETOP_INTERSECT:
		return j.holdsQuery(s.Larg, column, known) && j.holdsQuery(s.Rarg, column, known)
	}
	return gives(s.TargetList, column) && j.selectsEvery(s, known) && j.holds(s.FromClause[0], column, known)
}

// selectsEvery tells if a query is of one item, and takes every row of it. A WHERE with
// subqueries is not looked into, for they could be nested without end, nor one that names
// another table: `a = old.a` is not `a = a`.
func (j *judge) selectsEvery(s *pg.SelectStmt, known queries) bool {
	switch {
	case s.Op != pg.SetOperation_SETOP_NONE || len(s.FromClause) != 1 || len(s.GroupClause) > 0 || s.HavingClause != nil ||
		distinctOn(s) || !j.unlimited(s):
		return false
	case s.WhereClause == nil:
		return true
	}
	own := itemName(s.FromClause[0])
	beyond := anyNode(s.WhereClause, func(m proto.Message) bool {
		if c, ok := m.(*pg.ColumnRef); ok {
			parts := words(c.Fields)
			return len(parts) > 1 && parts[len(parts)-2] != own && !j.names(parts[len(parts)-2:])
		}
		_, ok := m.(*pg.SubLink)
		return ok
	})
	return !beyond && j.inside(s, known).condition(s.WhereClause) == always
}

// itemName is the name of an item of a FROM clause.
func itemName(n *pg.Node) string {
	if s := n.GetRangeSubselect(); s != nil {
		return s.Alias.GetAliasname()
	}
	return rangeName(n.GetRangeVar())
}

// distinctOn tells if a query has one row of several, by DISTINCT ON.
func distinctOn(s *pg.SelectStmt) bool {
	return slices.ContainsFunc(s.DistinctClause, func(n *pg.Node) bool { return message(n) != nil })
}

// gives tells if a query's list has a column as it is, under its own name.
func gives(list []*pg.Node, column string) bool {
	for _, n := range list {
		t := n.GetResTarget()
		c := t.GetVal().GetColumnRef()
		if c == nil || t.GetName() != "" && t.GetName() != column {
			continue
		}
		if star(c) || columnName(t.GetVal()) == column {
			return true
		}
	}
	return false
}

func star(c *pg.ColumnRef) bool {
	return len(c.Fields) > 0 && c.Fields[len(c.Fields)-1].GetAStar() != nil
}

// columnName is the name of the column that an expression is, "" where it is more.
func columnName(n *pg.Node) string {
	c := uncast(n).GetColumnRef()
	parts := words(c.GetFields())
	if len(parts) == 0 || len(parts) != len(c.Fields) {
		return ""
	}
	return parts[len(parts)-1]
}

// overwrites tells if an INSERT … ON CONFLICT DO UPDATE is given every row of its own
// table, each of which is in conflict with itself.
func (j *judge) overwrites(m *pg.InsertStmt) bool {
	c, s := m.OnConflictClause, m.SelectStmt.GetSelectStmt()
	if c.GetAction() != pg.OnConflictAction_ONCONFLICT_UPDATE || s == nil {
		return false
	}
	known := j.queries.with(s.WithClause)
	if !j.selectsEvery(s, known) {
		return false
	}
	if c.WhereClause != nil && !j.condition(c.WhereClause).takesEveryRow() {
		return false
	}
	for _, column := range conflicting(c, s) {
		if !inserted(m, s, column) || !j.holds(s.FromClause[0], column, known) {
			return false
		}
	}
	return true
}

// conflicting are the columns by which rows are in conflict; those that are inserted as
// they are, where the text does not name them, and "" where it names none of these either.
func conflicting(c *pg.OnConflictClause, s *pg.SelectStmt) []string {
	var out []string
	for _, n := range c.GetInfer().GetIndexElems() {
		if name := n.GetIndexElem().GetName(); name != "" {
			out = append(out, name)
		}
	}
	for _, n := range s.TargetList {
		if name := columnName(n.GetResTarget().GetVal()); name != "" && c.GetInfer().GetConname() != "" {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}

// inserted tells if an INSERT puts a column of what it selects into the one of that name.
func inserted(m *pg.InsertStmt, s *pg.SelectStmt, column string) bool {
	at := slices.IndexFunc(m.Cols, func(n *pg.Node) bool { return n.GetResTarget().GetName() == column })
	if at < 0 && len(m.Cols) > 0 {
		return false
	}
	for i, n := range s.TargetList {
		v := n.GetResTarget().GetVal()
		if c := v.GetColumnRef(); c != nil && star(c) || columnName(v) == column && (at < 0 || at == i) {
			return true
		}
	}
	return false
}

// selectsAll tells if a query has every row of the statement's own table.
func (j *judge) selectsAll(s *pg.SelectStmt, known queries) bool {
	known = known.with(s.WithClause)
	return j.selectsEvery(s, known) && j.isAll(s.FromClause[0].GetRangeVar(), known)
}

// isAll tells if a relation is the statement's own table, or a CTE of all of its rows.
func (j *judge) isAll(r *pg.RangeVar, known queries) bool {
	if s, is := j.cte(r, known); is {
		return j.read.within(s, func() bool { return j.selectsAll(s, known) })
	}
	return j.isTarget(r)
}
