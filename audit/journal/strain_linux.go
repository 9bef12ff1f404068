package journal

import "github.com/pgcustos/pgcustos/audit"

// While the next segment is being made, and the current one fills up faster than that,
// the principals who fill it wait, and leave the rest of it to the others: whoever writes
// little notices nothing. These are parts of an ordinary segment.
const (
	heavyPart    = 4  // of it a principal has written, who waits
	beginsToWait = 2  // is left, when those wait who can be asked before
	waitsForSure = 4  // is left, when they wait wherever they are
	waitsAnybody = 16 // is left, when nobody records who must not wait
)

var _ audit.Hesitant = (*Journal)(nil)

// MayWait implements audit.Hesitant.
func (j *Journal) MayWait(b *audit.Budget) bool {
	if !j.strained.Load() {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.spare.next != nil || j.failure != nil {
		return false
	}
	return j.free() < j.size/waitsAnybody || j.heavy(b)
}

// free is what is left of the current segment for statements. mu is held.
func (j *Journal) free() int64 {
	return j.cur.limit() - j.cur.pos - j.promised*outcomeRoom - j.reserve
}

// heavy says whether much of the current segment is that principal's. mu is held.
func (j *Journal) heavy(b *audit.Budget) bool {
	return b != nil && b.Part(j.cur.number) > j.size/heavyPart
}

// mustWait says whether the record leaves what is left of the current segment to others
// until there is another. mu is held.
func (j *Journal) mustWait(c *claim) bool {
	return c.limited && !c.try && j.spare.next == nil && j.free() < j.size/waitsForSure && j.heavy(c.budget)
}
