package audit

import (
	"errors"
	"sync/atomic"
)

// ErrBudget says that the principal has used up what it may write; others go on.
// SQLSTATE 53400. Where it comes together with ErrFull, the room itself is scarce,
// and the principal has had its share of it: SQLSTATE 53100.
var ErrBudget = errors.New("the principal's budget of the audit journal is used up")

// BudgetLimits say what one principal may write to the journal.
type BudgetLimits struct {
	Rate  int64 // bytes per second; 0: without a limit
	Burst int64 // bytes at once
}

// Budget is what one principal may write to the journal, over all of its sessions
// (invariant 9). It is a bucket that Rate fills up to Burst, and that each record
// drains. A Recorder draws on the budget of an event under its own lock: a Budget
// belongs to one Recorder, and of its methods only SetLimits may be called beside.
type Budget struct {
	limits atomic.Pointer[BudgetLimits]

	// Owned by the Recorder.
	drained float64 // bytes that are missing in the bucket
	at      int64   // when that was so
	season  uint64
	taken   int64 // bytes since the season began
	segment uint64
	part    int64 // bytes of that segment
}

// SetLimits changes the limits. Until it is called there are none.
func (b *Budget) SetLimits(l BudgetLimits) { b.limits.Store(&l) }

// Limits returns the limits.
func (b *Budget) Limits() BudgetLimits {
	if l := b.limits.Load(); l != nil {
		return *l
	}
	return BudgetLimits{}
}

// Affords says whether a record of n bytes may be written at now, in nanoseconds
// of a clock that never goes back. What tells of a refusal or ends a transaction
// may go as deep into debt as the bucket is high. One record that is larger than
// the bucket needs a full one.
func (b *Budget) Affords(now, n int64, debt bool) bool {
	l := b.limits.Load()
	if l == nil || l.Rate <= 0 {
		return true
	}
	b.drained = max(0, b.drained-float64(now-b.at)*float64(l.Rate)/1e9)
	b.at = now
	most := float64(l.Burst)
	if debt {
		most *= 2
	}
	return b.drained+min(float64(n), float64(l.Burst)) <= most
}

// Draw counts n bytes that were written to a segment.
func (b *Budget) Draw(season, segment uint64, n int64) {
	b.drained += float64(n)
	b.taken = b.Taken(season) + n
	b.part = b.Part(segment) + n
}

// Part is how many bytes were drawn of that segment, the last one.
func (b *Budget) Part(segment uint64) int64 {
	if b.segment != segment {
		b.segment, b.part = segment, 0
	}
	return b.part
}

// Taken is how many bytes were drawn since the season began.
func (b *Budget) Taken(season uint64) int64 {
	if b.season != season {
		b.season, b.taken = season, 0
	}
	return b.taken
}
