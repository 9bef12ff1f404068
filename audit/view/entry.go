package view

import (
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// entry is a record with what came of it.
type entry struct {
	*journal.Record
	outcome *journal.Record // of a statement; nil where it has none, or none is known
	late    bool            // an outcome whose statement went before it
	folded  *folded         // what it stands for, where it is more than one

	waiting bool      // for its outcome
	since   time.Time // when it began to wait, for --follow
	weight  int64     // bytes, about
}

// key names a record.
type key struct {
	stream   string
	sequence uint64
}

func (e *entry) key() key { return key{e.Stream, e.Sequence} }

// answer is the record that says what came of it: the outcome, or itself.
func (e *entry) answer() *journal.Record {
	if e.outcome != nil {
		return e.outcome
	}
	return e.Record
}

// entryOverhead is what a record takes beside its text, about.
const entryOverhead = 1 << 10

func newEntry(r *journal.Record) *entry {
	return &entry{Record: r, waiting: awaits(r), weight: int64(len(r.Text)+len(r.Change)) + entryOverhead}
}

// isStatement says whether the record is a text that a client sent.
func isStatement(r *journal.Record) bool {
	return r.Type == audit.Statement || r.Type == audit.Prepare
}

// awaits says whether an outcome of the record may come.
func awaits(r *journal.Record) bool {
	return isStatement(r) && (r.Decision == audit.Allowed || r.Decision == audit.WouldDeny)
}

// times says how often it happened.
func (e *entry) times() uint64 {
	if e.folded != nil {
		return e.folded.count
	}
	return max(1, e.Count)
}

// last is when it happened last.
func (e *entry) last() time.Time {
	if e.folded != nil {
		return e.folded.last
	}
	return e.Time
}

// rows is the number of rows of a statement and its repetitions, -1 for none.
func (e *entry) rows() int64 {
	if e.folded != nil {
		return e.folded.rows
	}
	return e.answer().Rows
}

func (e *entry) bytes() int64 {
	if e.folded != nil {
		return e.folded.bytes
	}
	return e.answer().Bytes
}

func (e *entry) took() time.Duration {
	if e.folded != nil {
		return e.folded.took
	}
	return e.answer().Duration
}

// sink is the next part of a chain.
type sink interface {
	put(e *entry) error
	flush() error // what can be shown now is shown
	end() error   // nothing more comes
}
