package journal

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// claim is the room that a record asks for.
type claim struct {
	size    int64 // with padding
	spare   int64 // that must stay free behind it
	promise bool  // one more outcome is promised
	outcome bool
	try     bool // do not wait for a segment to be made
	text    keptText

	limited bool          // by the budget
	budget  *audit.Budget // that it counts against; nil: nobody's
	now     int64         // ns since the journal was opened
	beside  int64         // bytes of a text that is kept beside the record
}

// Record implements audit.Recorder. Errors wrap audit.ErrFull, audit.ErrBudget or
// audit.ErrBroken; an event of no known type, or beyond 2 GiB, is an error too.
func (j *Journal) Record(ev *audit.Event) (audit.Receipt, error) {
	number := typeNumber(ev.Type)
	if number == 0 || number == checkpointType {
		return audit.Receipt{}, fmt.Errorf("journal: no such type of event: %q", ev.Type)
	}
	now := time.Now()
	at := ev.Time
	if at.IsZero() {
		at = now
	}
	c := j.claim(ev)
	c.budget, c.now = ev.Budget, int64(now.Sub(j.opened))
	if err := j.affordText(ev, &c); err != nil {
		return audit.Receipt{}, err
	}
	var err error
	if c.text, err = j.keepText(ev); err != nil {
		return audit.Receipt{}, err
	}
	if p := ev.Parameters; p != nil && p.Blob.Length > 0 {
		if err := j.blobs.use(p.Blob); err != nil {
			return audit.Receipt{}, err
		}
	}
	size := fields{text: &c.text}
	size.body(ev)
	if size.n > maxRecord-recordHeader {
		return audit.Receipt{}, fmt.Errorf("journal: a record of %d bytes: the format has room for %d", size.n, maxRecord)
	}
	c.size = align(int64(recordHeader + size.n))
	return j.append(ev, number, at.UnixNano(), recordHeader+size.n, &c)
}

// keepText digests the text of a statement, and makes a blob of a long one.
func (j *Journal) keepText(ev *audit.Event) (keptText, error) {
	switch {
	case ev.Text == "" && ev.TextBlob.Length > 0:
		text := keptText{digest: ev.TextDigest, blob: ev.TextBlob}
		if text.digest == [32]byte{} {
			text.digest = ev.TextBlob.Digest
		}
		return text, j.blobs.use(ev.TextBlob)
	case ev.Text == "" && ev.Type != audit.Statement && ev.Type != audit.Prepare:
		return keptText{}, nil
	}
	text := keptText{digest: ev.TextDigest}
	if text.digest == [32]byte{} {
		text.digest = j.Digest(ev.Text)
	}
	if len(ev.Text) <= audit.InlineText {
		return text, nil
	}
	own := text.digest
	if ev.Form == statement.Masked {
		own = j.Digest(ev.Text) // the record's may be of more than it holds
	}
	var err error
	text.blob, err = j.blobs.keep(own, ev.Text)
	ev.TextBlob = text.blob
	return text, err
}

func (j *Journal) claim(ev *audit.Event) (c claim) {
	switch {
	case ev.Type == audit.Outcome:
		c.outcome = true
	case ev.Reader != nil:
		c.spare = j.reserve / 2 // readers are not to use up what log-ins need
	case ev.Type == audit.Connection:
		c.spare = j.reserve / 2
	case (ev.Type == audit.Authentication || ev.Type == audit.Authorization) && ev.Decision == audit.Denied:
		// Whoever guesses passwords does not keep out who knows one.
		c.spare = j.reserve / 4
	case ev.Type != audit.Statement && ev.Type != audit.Prepare:
	case ev.Decision == audit.Denied || ev.Decision == audit.Unavailable:
		c.spare = j.reserve / 2
		c.limited = true
	case ev.Command == "ROLLBACK":
		// Nobody is to be stuck in an aborted transaction for want of room.
		c.spare = j.reserve / 2
		c.promise, c.limited = true, true
	default:
		c.spare = j.reserve
		c.promise, c.limited = true, true
	}
	return c
}

func (j *Journal) append(ev *audit.Event, number uint16, at int64, length int, c *claim) (r audit.Receipt, err error) {
	j.mu.Lock()
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		p := recover()
		if p != nil {
			j.fail(fmt.Errorf("%w: a record was left unfinished", audit.ErrBroken))
		}
		j.mu.Unlock()
		if p != nil {
			r, err = audit.Receipt{}, faultError(p)
		}
	}()
	if err := j.afford(c); err != nil {
		return audit.Receipt{}, err
	}
	if err := j.admit(c, at); err != nil {
		return audit.Receipt{}, err
	}
	c.size = j.write(ev, number, at, length, &c.text)
	j.settle(c)
	if strained := j.spare.next == nil && j.free() < j.size/beginsToWait; strained != j.strained.Load() {
		j.strained.Store(strained)
	}
	j.tail.Store(j.cur.base + j.cur.pos)
	return audit.Receipt{Sequence: j.seq, Position: j.cur.base + j.cur.pos}, nil
}

// write encodes the event in place, and returns how much that took. There is room for
// length, which is what it takes with the session's fields in it, and mu is held.
func (j *Journal) write(ev *audit.Event, number uint16, at int64, length int, text *keptText) (size int64) {
	s := j.cur
	r := s.m[s.pos : s.pos+int64(length) : s.pos+int64(length)]
	f := fields{b: r[recordHeader:], text: text, shared: s.shared(ev.Prepared)}
	f.body(ev)
	r = r[:recordHeader+f.n]
	binary.LittleEndian.PutUint64(r[offShared:], uint64(f.shared))
	binary.LittleEndian.PutUint64(r[offSequence:], j.seq+1)
	binary.LittleEndian.PutUint64(r[offTime:], uint64(at))
	binary.LittleEndian.PutUint16(r[offType:], number)
	if f.cut {
		r[offFlags] = flagCut
	}
	sums(r, s.seed, &j.scratch)
	publish(r[offLength:], uint32(len(r)))
	if f.whole {
		s.share(ev.Prepared)
	}
	size = align(int64(len(r)))
	s.pos += size
	s.records++
	if number != checkpointType {
		s.events++
	}
	j.seq++
	if j.seq%maxSums == 0 {
		j.chain.kick()
	}
	return size
}

// settle keeps the accounts: of promised outcomes, and of the principal.
func (j *Journal) settle(c *claim) {
	if c.budget != nil {
		c.budget.Draw(j.scarce.season, j.cur.number, c.size+c.beside)
	}
	if c.promise {
		j.promised++
	}
	if c.outcome && j.promised > 0 {
		j.promised--
	}
}

// Release implements audit.Recorder.
func (j *Journal) Release(n int) {
	j.mu.Lock()
	j.promised = max(0, j.promised-int64(n))
	j.mu.Unlock()
}

// fits says whether c and all that is promised have room in s.
func (j *Journal) fits(s *segment, c *claim, spare int64) bool {
	if c.outcome && j.promised > 0 && s == j.cur {
		return true // its room was kept
	}
	free := s.limit() - s.pos - j.promised*outcomeRoom
	if c.promise {
		free -= outcomeRoom
	}
	return c.size+spare <= free
}

// admit finds room for c, in a new segment where it must, or says why there is
// none. mu is held, and given away while admit waits for a segment to be made.
func (j *Journal) admit(c *claim, at int64) error {
	for {
		if j.failure != nil {
			return j.failure
		}
		if j.mustWait(c) && j.await(j.size) == nil {
			continue
		}
		if j.fits(j.cur, c, j.reserve) || c.outcome && j.fits(j.cur, c, 0) {
			return nil
		}
		if next := j.spare.next; next != nil && j.fits(next, c, j.reserve) {
			j.rotate(at)
			return nil
		}
		// There is no next segment, or none that is large enough: this is what the
		// reserve is for.
		if c.spare < j.reserve && j.fits(j.cur, c, c.spare) {
			return nil
		}
		if c.try {
			return errNoRoom
		}
		if err := j.await(j.room(c)); err != nil {
			return err
		}
	}
}

// room is the size of a segment in which c would fit, and be no exception.
func (j *Journal) room(c *claim) int64 {
	need := int64(headerSize + sealSize + closeRoom)
	need += c.size + (j.promised+1)*outcomeRoom + j.reserve
	if need <= j.size {
		return j.size
	}
	// Outcomes go on being promised while the segment is made.
	return align(need + j.size/4)
}

// rotate seals the current segment and begins the next. mu is held.
func (j *Journal) rotate(at int64) {
	done, next := j.cur, j.spare.next
	done.seal(sealNext, j.seq, [32]byte{})
	next.base = done.base + done.pos
	next.begin(j.seq+1, at, [32]byte{})
	j.retired = append(j.retired, done)
	j.unhashed = append(j.unhashed, next)
	j.chain.kick()
	j.cur, j.spare.next = next, nil
	j.spare.kick()
	j.flush.kick()
}

// rotateOld seals the current segment where it has reached its age and holds
// events: a quiet node makes no segments. Where the next one is not ready yet, it
// waits for the next look.
func (j *Journal) rotateOld() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil || j.cur.events == 0 || time.Since(j.cur.began) < j.rotateAfter {
		return
	}
	switch next := j.spare.next; {
	case next != nil && j.fits(next, &claim{}, j.reserve):
		if err := guard(func() { j.rotate(time.Now().UnixNano()) }); err != nil {
			j.fail(err)
		}
	case !j.spare.making:
		j.spare.want = max(j.spare.want, j.room(&claim{}))
		j.spare.kick()
	}
}

// fail makes err the answer to all that comes. mu is held.
func (j *Journal) fail(err error) {
	if j.failure == nil {
		j.failure = err
	}
	j.spare.ready.Broadcast()
}
