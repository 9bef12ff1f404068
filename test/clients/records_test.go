package clients

import (
	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// recordOf matches the record of a statement with that text.
func recordOf(text string) func(*journal.Record) bool {
	return func(r *journal.Record) bool { return r.Type == audit.Statement && r.Text == text }
}
