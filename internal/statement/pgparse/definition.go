package pgparse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// evaluated are the classes that a definition can have of what it evaluates at once.
const evaluated = function | read | write | misc | miscSet

// definition visits a statement whose parts are stored and not executed: they
// add tags and objects, but only the classes given.
func (w *walker) definition(m proto.Message, adds statement.Class) {
	w.drops(m)
	kept, around, stored := w.adds, w.around, w.stored
	w.around, w.stored = w.adds, true
	w.adds &= adds
	w.children(m)
	w.adds, w.around, w.stored = kept, around, stored
}

// now visits a part of a definition that is evaluated when it is made: the bounds of
// a partition (transformPartitionBoundValue, parse_utilcmd.c).
func (w *walker) now(m proto.Message) {
	kept := w.adds
	w.adds = w.around & evaluated
	w.children(m)
	w.adds = kept
}

// action visits one action of ALTER TABLE. A new column's default, USING and CHECK are
// evaluated for the rows that are there; SET DEFAULT is for those to come.
func (w *walker) action(m *pg.AlterTableCmd) {
	kept := w.adds
	if m.Subtype == pg.AlterTableType_AT_ColumnDefault {
		w.adds &= function
	}
	w.children(m)
	w.adds = kept
}

// validates tells if ALTER DOMAIN holds the rows that are there against a new
// constraint.
func validates(m *pg.AlterDomainStmt) bool {
	return m.Subtype == "C" && !m.Def.GetConstraint().GetSkipValidation()
}
