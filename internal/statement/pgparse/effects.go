package pgparse

import (
	"bytes"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// cursorHold is CURSOR_OPT_HOLD (parsenodes.h).
const cursorHold = 0x20

// effect notes what the statement does to the session's names and transaction.
func (w *walker) effect(m proto.Message) {
	e := &w.st.Effect
	switch m := m.(type) {
	case *pg.PrepareStmt:
		*e = statement.Effect{Kind: statement.EffectPrepare, Name: m.Name, Inner: w.inner(m.Query)}
	case *pg.ExecuteStmt:
		*e = statement.Effect{Kind: statement.EffectExecute, Name: m.Name}
	case *pg.ExplainStmt:
		switch m.Query.GetNode().(type) {
		case *pg.Node_ExecuteStmt, *pg.Node_CreateTableAsStmt:
			w.effect(message(m.Query))
		}
	case *pg.CreateTableAsStmt:
		w.temporary(m.Into.GetRel())
		if m.Query.GetExecuteStmt() != nil {
			temporary := e.Kind == statement.EffectTemporary
			w.effect(message(m.Query))
			e.Hold = temporary
		}
	case *pg.DeallocateStmt:
		e.Kind, e.Name = statement.EffectDeallocate, m.Name
		if m.Name == "" {
			e.Kind = statement.EffectDeallocateAll
		}
	case *pg.DeclareCursorStmt:
		*e = statement.Effect{
			Kind: statement.EffectDeclare, Name: m.Portalname,
			Hold: m.Options&cursorHold != 0, Inner: w.inner(m.Query),
		}
	case *pg.FetchStmt:
		*e = statement.Effect{Kind: statement.EffectFetch, Name: m.Portalname}
	case *pg.ClosePortalStmt:
		e.Kind, e.Name = statement.EffectCloseCursor, m.Portalname
		if m.Portalname == "" {
			e.Kind = statement.EffectCloseAll
		}
	case *pg.DiscardStmt:
		if m.Target == pg.DiscardMode_DISCARD_ALL {
			e.Kind = statement.EffectDiscardAll
		}
	case *pg.TransactionStmt:
		e.Kind = transactions[m.Kind]
		e.Name, e.Hold = m.SavepointName, m.Chain
	case *pg.VariableSetStmt:
		value := ""
		if m.Kind == pg.VariableSetKind_VAR_SET_VALUE && len(m.Args) == 1 {
			value = m.Args[0].GetAConst().GetSval().GetSval()
		}
		w.identity(lower(m.Name), value, m.IsLocal)
		if m.Kind == pg.VariableSetKind_VAR_SET_VALUE && len(m.Args) == 1 && m.Args[0].GetAConst().GetSval() != nil {
			w.noPath(lower(m.Name), value, m.IsLocal)
		}
	case *pg.SelectStmt:
		w.temporary(leftmost(m).IntoClause.GetRel())
		w.configures(m)
	case *pg.CreateStmt:
		w.temporary(m.Relation)
	case *pg.ViewStmt:
		w.temporary(m.View)
	case *pg.CreateForeignTableStmt:
		w.temporary(m.BaseStmt.GetRelation())
	case *pg.CreateSeqStmt:
		w.temporary(m.Sequence)
	default:
		if commits(m) {
			e.Kind = statement.EffectCommits
		}
	}
}

// commits tells which statements commit on their way: those with steps that others are to
// see, or of which each relation has a transaction of its own (PreventInTransactionBlock).
// CALL and DO are known by their commands.
func commits(m proto.Message) bool {
	switch m := m.(type) {
	case *pg.VacuumStmt, *pg.ClusterStmt, *pg.ReindexStmt,
		*pg.CreateSubscriptionStmt, *pg.AlterSubscriptionStmt, *pg.DropSubscriptionStmt:
		return true
	case *pg.IndexStmt:
		return m.Concurrent
	case *pg.DropStmt:
		return m.Concurrent
	case *pg.AlterTableStmt:
		return slices.ContainsFunc(m.Cmds, func(n *pg.Node) bool {
			c := n.GetAlterTableCmd()
			return c.GetSubtype() == pg.AlterTableType_AT_DetachPartitionFinalize || c.GetDef().GetPartitionCmd().GetConcurrent()
		})
	case *pg.AlterDatabaseStmt: // SET TABLESPACE
		return slices.ContainsFunc(m.Options, func(n *pg.Node) bool { return n.GetDefElem().GetDefname() == "tablespace" })
	}
	return false
}

// identity notes that a setting says who the session is from now on.
func (w *walker) identity(setting, value string, local bool) {
	kind := identities[setting]
	if kind == statement.EffectNone {
		return
	}
	if kind == statement.EffectRole && value == noRole {
		value = ""
	}
	w.st.Effect = statement.Effect{Kind: kind, Name: value, Hold: !local}
}

var identities = map[string]statement.EffectKind{
	"role": statement.EffectRole, "session_authorization": statement.EffectAuthorization,
}

// configures notes a query that is no more than one call of set_config.
func (w *walker) configures(m *pg.SelectStmt) {
	if len(m.TargetList) != 1 || !oneRow(m) {
		return
	}
	f := m.TargetList[0].GetResTarget().GetVal().GetFuncCall()
	schema, called := split(words(f.GetFuncname()))
	if called != "set_config" || schema != "" && schema != "pg_catalog" {
		return
	}
	name, ok := constant(argument(f, 0, "setting_name"))
	value, ok2 := constant(argument(f, 1, "new_value"))
	local, ok3 := constant(argument(f, 2, "is_local"))
	if ok && ok2 && ok3 && !value.null && !name.opaque && !value.opaque && !name.cut && !value.cut {
		w.identity(lower(name.text), value.text, local.truth() == always)
		if schema != "" && !slices.ContainsFunc(f.GetArgs(), casts) { // the system's, whatever the path is
			w.noPath(lower(name.text), value.text, local.truth() != never)
		}
	}
}

// casts tells whether an argument is more than a literal: what a cast makes of one depends on
// the types of the database.
func casts(n *pg.Node) bool {
	if named := n.GetNamedArgExpr(); named != nil {
		n = named.Arg
	}
	return n.GetAConst() == nil
}

// oneRow tells whether a query is no more than the expressions that it gives: one row, in
// which each is worked out once. What it sorts by may set the same again.
func oneRow(m *pg.SelectStmt) bool {
	return len(m.FromClause) == 0 && m.WhereClause == nil && m.WithClause == nil && m.LimitCount == nil && m.LimitOffset == nil &&
		len(m.GroupClause) == 0 && m.HavingClause == nil && len(m.DistinctClause) == 0 && m.IntoClause == nil &&
		len(m.SortClause) == 0 && len(m.WindowClause) == 0
}

// noPath notes that nothing is left in search_path. Within a body it is the body's.
func (w *walker) noPath(setting, value string, local bool) {
	if setting == "search_path" && value == "" && !local && w.depth == 0 {
		w.st.Effect = statement.Effect{Kind: statement.EffectNoPath}
	}
}

// temporary notes that a relation is created which hides others of its name.
func (w *walker) temporary(r *pg.RangeVar) {
	if r.GetRelpersistence() == "t" || strings.HasPrefix(r.GetSchemaname(), "pg_temp") {
		w.st.Effect.Kind = statement.EffectTemporary
	}
}

var transactions = map[pg.TransactionStmtKind]statement.EffectKind{
	pg.TransactionStmtKind_TRANS_STMT_BEGIN:             statement.EffectBegin,
	pg.TransactionStmtKind_TRANS_STMT_START:             statement.EffectBegin,
	pg.TransactionStmtKind_TRANS_STMT_COMMIT:            statement.EffectCommit,
	pg.TransactionStmtKind_TRANS_STMT_ROLLBACK:          statement.EffectRollback,
	pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT:         statement.EffectSavepoint,
	pg.TransactionStmtKind_TRANS_STMT_RELEASE:           statement.EffectSavepoint,
	pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:       statement.EffectSavepoint,
	pg.TransactionStmtKind_TRANS_STMT_PREPARE:           statement.EffectTwoPhase,
	pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED:   statement.EffectTwoPhase,
	pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED: statement.EffectTwoPhase,
}

// hiddenNames notes that a body which is executed now gives or takes names of
// prepared statements, where nobody can follow it: all names are forgotten, and
// what is executed by name afterwards is Unknown.
func (w *walker) hiddenNames() {
	if w.depth > 0 && w.adds&function != 0 {
		w.st.Effect = statement.Effect{Kind: statement.EffectDeallocateAll}
	}
}

// hiddenStatement notes that a body, or SQL that a function is given, executes a name
// of the session, or fetches from a cursor by its name: what stands behind it at that
// time nobody can follow.
func (w *walker) hiddenStatement() {
	if w.depth > 0 {
		w.unreadable()
	}
}

// inner judges the statement that a name stands for. Its text is set later.
func (w *walker) inner(n *pg.Node) *statement.Statement {
	in := newWalker(w.reader, w.at)
	m := message(n)
	if c, ok := lookup(m); ok {
		in.st.Command = c.tag
	}
	in.givenIn(m)
	in.walk(m)
	return in.st
}

// behind returns the part of PREPARE … AS or DECLARE … FOR that follows the
// word, which is reserved and so stands alone outside parentheses.
func behind(raw []byte, at span, kind statement.EffectKind) span {
	word := either2(kind == statement.EffectPrepare, []byte("as"), []byte("for"))
	depth := 0
	for l := sqllex.At(raw[:at.end], at.start); ; {
		t := l.Next()
		switch token := raw[t.Start:t.End]; {
		case t.Kind == sqllex.End:
			return at
		case t.Kind == sqllex.Symbol && token[0] == '(':
			depth++
		case t.Kind == sqllex.Symbol && token[0] == ')':
			depth--
		case t.Kind == sqllex.Word && depth == 0 && bytes.EqualFold(token, word):
			return trim(raw, span{t.End, at.end})
		}
	}
}
