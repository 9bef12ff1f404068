package journal

import (
	"errors"
	"time"
)

// Retention says for how long records are kept. The zero value keeps all.
type Retention struct {
	// Age is how long the records of a segment are kept at least; 0: for ever, but
	// for Size.
	Age time.Duration
	// Tiers say the same of records of backends of a tier, where they are not 0. A
	// segment is kept for as long as any record in it asks for.
	Tiers [4]time.Duration
	// Size is how much the journal may hold, in bytes; beyond it the oldest segments
	// go although their time has not come. 0: as much as it takes.
	Size int64
	// AtLeast is how long records are kept however large the journal is: whoever
	// writes much is not to drive out what tells of it.
	AtLeast time.Duration
}

// Upkeep answers what the journal asks before it removes, or encrypts, a segment.
// Its methods are called from one goroutine.
type Upkeep interface {
	// Taken is the sequence of the last record of a stream that every sink has
	// taken; without sinks the largest number there is.
	Taken(stream string) (uint64, error)
	// Tier is the tier of a backend; false where there is no such backend.
	Tier(backend string) (int, bool)
}

// removes says whether anything is ever removed.
func (r *Retention) removes() bool { return r.Age > 0 || r.Size > 0 }

// The bits of a label's tiers beside those of tiers 0 to 3.
const (
	tierUnknown = 1 << 30 // of a backend that the configuration does not have
	tierNone    = 1 << 31 // of no backend
	tierBits    = 0xf | tierUnknown | tierNone
)

// keep is how long records of these tiers are kept; 0: for ever.
func (r *Retention) keep(tiers uint32) time.Duration {
	if r.Age == 0 {
		return 0
	}
	longest := r.AtLeast
	if tiers&tierNone != 0 || tiers == 0 {
		longest = max(longest, r.Age)
	}
	for i, of := range r.Tiers {
		if of == 0 {
			of = r.Age
		}
		if tiers&(1<<i) != 0 || tiers&tierUnknown != 0 {
			longest = max(longest, of)
		}
	}
	return longest
}

// due says whether, and why, records of these tiers may go that are so old. over
// says that the journal is too large.
func (r *Retention) due(age time.Duration, tiers uint32, over bool) (RemovedWhy, bool) {
	if keep := r.keep(tiers); keep > 0 && age >= keep {
		return RemovedForAge, true
	}
	if over && age >= r.AtLeast {
		return RemovedForSize, true
	}
	return 0, false
}

func (r *Retention) check() error {
	if r.Age < 0 || r.Size < 0 || r.AtLeast < 0 {
		return errors.New("journal: retention must not be negative")
	}
	return nil
}
