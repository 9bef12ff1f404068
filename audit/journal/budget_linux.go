package journal

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// shareOf is the part of what is left that one principal may take while room is
// scarce: a quarter. Whoever comes behind it has a quarter of the rest.
const shareOf = 4

// errShare is both: the journal is as good as full, and that is so for this
// principal.
var errShare = fmt.Errorf("%w but for the share of others: %w", audit.ErrFull, audit.ErrBudget)

// scarcity is how the journal stands with its file system. It is guarded by
// Journal.mu.
type scarcity struct {
	floor  int64 // bytes free below which room is scarce
	on     bool
	season uint64 // counts the times that room became scarce
	free   int64  // bytes, when they were last looked at
}

// lookAtRoom looks how much room the file system has. It is called by the
// journal's goroutines, each second and behind each segment that was made.
func (j *Journal) lookAtRoom() {
	var fs unix.Statfs_t
	if err := ignoreInterrupt(func() error { return unix.Statfs(j.id.dir, &fs) }); err != nil {
		return // the next write says what there is to say
	}
	size := int64(fs.Bsize)
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.scarce
	s.free = int64(fs.Bavail) * size
	// Of a small file system the floor is a tenth.
	floor := min(s.floor, int64(fs.Blocks)*size/10)
	switch {
	case !s.on && s.free < floor:
		s.on = true
		s.season++
	case s.on && s.free > floor+floor/4:
		s.on = false
	}
}

// left is the room that statements have, in segments and for whole ones. mu is held.
func (j *Journal) left() int64 {
	left := j.scarce.free/j.size*j.size + j.cur.limit() - j.cur.pos - j.promised*outcomeRoom - j.reserve
	if next := j.spare.next; next != nil {
		left += next.limit() - headerSize
	}
	return max(0, left)
}

// afford says whether the principal may write what c asks for. mu is held.
func (j *Journal) afford(c *claim) error {
	b := c.budget
	if b == nil || !c.limited {
		return nil
	}
	debt := c.spare < j.reserve
	size := c.size + c.beside
	if !b.Affords(c.now, size, debt) {
		return audit.ErrBudget
	}
	if !j.scarce.on {
		return nil
	}
	taken := b.Taken(j.scarce.season)
	share := (j.left() + taken) / shareOf
	if debt {
		share *= 2
	}
	if taken+size > share {
		return errShare
	}
	return nil
}

// affordText says the same of a long text, and of parameters, before the text is kept
// beside the records.
func (j *Journal) affordText(ev *audit.Event, c *claim) error {
	if c.beside = ev.TextBlob.Length; len(ev.Text) > audit.InlineText {
		c.beside = int64(len(ev.Text))
	}
	if ev.Parameters != nil {
		c.beside += ev.Parameters.Blob.Length
	}
	if c.beside == 0 || c.budget == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.afford(c)
}

// Scarce says whether there is so little room that each principal is held to a
// share of it.
func (j *Journal) Scarce() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.scarce.on
}
