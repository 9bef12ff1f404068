package sink

import "github.com/pgcustos/pgcustos/audit/journal"

// Line makes a JSON object of a record, without a line break: what a sink sends. Of a
// record that was shortened (Record.Shortened) it is shorter.
type Line func(*journal.Record) ([]byte, error)

// Native is the record by the names of audit/FORMAT.md.
func Native(r *journal.Record) ([]byte, error) { return r.MarshalJSON() }
