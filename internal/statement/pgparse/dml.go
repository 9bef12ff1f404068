package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// insert visits an INSERT. Its VALUES are a SelectStmt that reads nothing.
func (w *walker) insert(m *pg.InsertStmt) {
	if s := m.SelectStmt.GetSelectStmt(); s != nil && len(s.ValuesLists) > 0 {
		w.claimed[s] = true
	}
	if m.OnConflictClause != nil && w.judges(m.Relation, nil, m.WithClause).overwrites(m) {
		w.destructive("INSERT … ON CONFLICT DO UPDATE of every row")
	}
	w.query(m, m.WithClause, m.Relation)
}

func (w *walker) update(m *pg.UpdateStmt) {
	if len(m.FromClause) > 0 {
		w.class(read)
	}
	if m.Relation.GetRelname() == pgSettings {
		// The view's rule selects set_config().
		w.class(read | miscSet)
		w.tag(tSession)
		w.anySettingIsSet()
		for _, n := range m.TargetList {
			w.secretNode(n)
		}
	}
	w.everyRow("UPDATE", m.WhereClause, w.judges(m.Relation, m.FromClause, m.WithClause))
	w.query(m, m.WithClause, m.Relation)
}

func (w *walker) delete(m *pg.DeleteStmt) {
	if len(m.UsingClause) > 0 {
		w.class(read)
	}
	w.everyRow("DELETE", m.WhereClause, w.judges(m.Relation, m.UsingClause, m.WithClause))
	w.query(m, m.WithClause, m.Relation)
}

// everyRow notes a statement that takes every row of its table.
func (w *walker) everyRow(command string, where *pg.Node, j *judge) {
	if where == nil {
		w.destructive(command + " without WHERE")
		return
	}
	switch t := j.condition(where); {
	case t == always:
		w.destructive(command + " of every row")
	case t.takesEveryRow():
		w.destructive(command + " of all rows or none: its WHERE does not look at the row")
	}
}

// merge visits a MERGE. Its source decides which rows it takes: all of them if
// the join condition does not select, and with NOT MATCHED BY SOURCE those that
// the source does not hold.
func (w *walker) merge(m *pg.MergeStmt) {
	w.merged(m)
	j := w.judges(m.Relation, []*pg.Node{m.SourceRelation}, m.WithClause)
	everyRow := j.condition(m.JoinCondition).takesEveryRow()
	for _, n := range m.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		command := map[pg.CmdType]string{pg.CmdType_CMD_DELETE: "DELETE", pg.CmdType_CMD_UPDATE: "UPDATE"}[when.GetCommandType()]
		if command == "" || when.Condition != nil && !j.condition(when.Condition).takesEveryRow() {
			continue
		}
		switch {
		case everyRow:
			w.destructive("MERGE with " + command + " of every row")
		case when.MatchKind == pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE:
			w.destructive("MERGE with " + command + " of every row that the source lacks")
		}
	}
	w.query(m, m.WithClause, m.Relation)
}

// explain visits an EXPLAIN. Without ANALYZE nothing is executed, so nothing is
// destroyed; the planner may still call functions.
func (w *walker) explain(m *pg.ExplainStmt) {
	tags, phrase := w.st.Tags&tDestructive, w.st.Destructive
	w.children(m)
	if !analyzes(m) {
		w.st.Tags = w.st.Tags&^tDestructive | tags
		w.st.Destructive = phrase
	}
}

// analyzes tells if an EXPLAIN executes its statement: when any option ANALYZE
// is not clearly off.
func analyzes(m *pg.ExplainStmt) bool {
	for _, n := range m.Options {
		o := n.GetDefElem()
		if o.GetDefname() == "analyze" && !off(o.GetArg()) {
			return true
		}
	}
	return false
}

// off tells if an option's value is one that defGetBoolean (define.c) takes for
// false.
func off(n *pg.Node) bool {
	switch {
	case n == nil:
		return false
	case n.GetBoolean() != nil:
		return !n.GetBoolean().Boolval
	case n.GetInteger() != nil:
		return n.GetInteger().Ival == 0
	case n.GetString_() != nil:
		s := lower(n.GetString_().Sval)
		return s == "false" || s == "off"
	}
	return false
}

// copy visits a COPY's own facts; its query is a part of it.
func (w *walker) copy(m *pg.CopyStmt) {
	if m.IsProgram || m.Filename != "" {
		w.tag(tExternal)
	}
	if m.IsProgram {
		w.program(m.Filename)
	}
	if m.Relation != nil {
		use := statement.UseRead
		if m.IsFrom {
			use = statement.UseWrite
		}
		w.target(m.Relation, "relation", use)
	}
}
