package audit

import (
	"context"
	"errors"
)

// Recorder writes events down. What it returns is the leave to go on: an error
// means that the event is not on record, and whoever asked must refuse what the
// event was about (invariant 5).
//
// A Recorder is safe for concurrent use. Record waits for no other session, and for a
// disk only where Hesitant says so; a text beyond InlineText it writes to a file of its
// own.
type Recorder interface {
	Store
	// Prepare encodes what stays the same over a session's records.
	Prepare(*Context) *Prepared
	// Record appends the event. When it returns without an error, the record is
	// complete and survives the end of this process; Wait tells when it
	// survives a loss of power.
	Record(*Event) (Receipt, error)
	// Release gives back the room for n outcomes. The record of a statement that
	// may go on promises room for its outcome, so that what ran can always be
	// told; the Outcome takes the promise up.
	Release(n int)
	// Wait blocks until the record survives a loss of power.
	Wait(context.Context, Receipt) error
}

// Hesitant is a Recorder that knows beforehand when Record may wait, for room to be made
// for what it writes: then nobody calls it who must not wait.
type Hesitant interface {
	// MayWait says so for some records of whoever has that budget; nil: of anybody.
	MayWait(*Budget) bool
}

// Prepared is an encoded Context. It belongs to the Recorder that made it.
type Prepared struct {
	Fields []byte // immutable
	// Segment and Offset say where the fields were written last. They are the
	// Recorder's own, which guards them.
	Segment uint64
	Offset  int64
}

// Receipt names a record.
type Receipt struct {
	Sequence uint64 // within the stream, from 1
	Position int64  // in the stream's bytes, behind the record: what Wait waits for
}

// ErrFull says that there is no room for the record: the disk is full, or the
// budget is used up. SQLSTATE 53100.
var ErrFull = errors.New("the audit journal is full")

// ErrBroken says that the journal cannot be written at all. SQLSTATE 58030.
var ErrBroken = errors.New("the audit journal cannot be written")
