package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// maskable tells if a text that differs in its plain literals and comments only
// is judged alike. That is so where each of these literals is a constant of an
// expression, for which the grammar takes any other of its kind, in a statement
// that reads or writes rows, calls or executes, and where no constant was looked
// into for the judgement (reader.literal).
func (r *reader) maskable(j *statement.Judgement, stmts []*pg.RawStmt) bool {
	if r.literal || j.Form != statement.Verbatim || j.Class&statement.Unknown != 0 {
		return false
	}
	for _, s := range stmts {
		switch message(s.Stmt).(type) {
		case *pg.SelectStmt, *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt, *pg.CallStmt, *pg.ExecuteStmt, *pg.TransactionStmt:
		default:
			return false
		}
	}
	holes, ok := statement.Holes(r.raw)
	if !ok {
		return false
	}
	constants := map[int]bool{}
	for _, s := range stmts {
		anyNode(s.Stmt, func(m proto.Message) bool {
			if c, ok := m.(*pg.A_Const); ok {
				constants[int(c.Location)] = true
			}
			return false
		})
	}
	for _, h := range holes {
		if !h.Comment && !constants[h.Start] && !constants[r.minusBefore(h.Start)] {
			return false
		}
	}
	return true
}

// minusBefore returns the place of a minus that stands before a literal, which
// the grammar makes a part of the constant; -1 where there is none.
func (r *reader) minusBefore(at int) int {
	for at--; at >= 0; at-- {
		switch r.raw[at] {
		case ' ', '\t', '\n', '\r', '\f', '\v':
		case '-':
			return at
		default:
			return -1
		}
	}
	return -1
}
