package pgparse

import (
	"bytes"

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
		if m.Query.GetExecuteStmt() != nil {
			w.effect(message(m.Query))
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
		e.Name = m.SavepointName
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

// inner judges the statement that a name stands for. Its text is set later.
func (w *walker) inner(n *pg.Node) *statement.Statement {
	in := newWalker(w.reader, w.at)
	m := message(n)
	if c, ok := lookup(m); ok {
		in.st.Command = c.tag
	}
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
