package journal

import (
	"sync"
	"time"
)

// retryEvery bounds how often a segment that could not be made is tried again.
const retryEvery = 100 * time.Millisecond

// spare is the segment that stands ready behind the current one. Its fields are
// guarded by Journal.mu.
type spare struct {
	next   *segment
	want   int64 // size that somebody waits for; 0: the ordinary one
	making bool
	err    error // why the last attempt failed
	failed int64 // the size that it was for
	retry  time.Time

	ready *sync.Cond    // an attempt has ended
	wake  chan struct{} // holds one
	pace  pace          // of the goroutine that makes segments
}

func (s *spare) init(mu *sync.Mutex, urgent func() bool) {
	s.pace = pace{rests: restsFor, hurry: urgent}
	s.ready = sync.NewCond(mu)
	s.wake = make(chan struct{}, 1)
}

func (s *spare) kick() {
	s.making = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// await waits until an attempt to make a segment of that size has ended. A
// failed attempt is repeated at most every retryEvery; until then its error is
// the answer. Without an error, there may or may not be such a segment now. mu
// is held.
func (j *Journal) await(size int64) error {
	s := &j.spare
	if !s.making && s.err != nil && size >= s.failed && time.Now().Before(s.retry) {
		return s.err
	}
	s.want = max(s.want, size)
	if !s.making {
		s.kick()
	}
	for s.making && j.failure == nil {
		s.ready.Wait()
	}
	if j.failure != nil {
		return j.failure
	}
	if s.err != nil && size >= s.failed {
		return s.err
	}
	return nil
}

// awaited says whether somebody waits for the next segment, or soon will.
func (j *Journal) awaited() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.spare.want > 0 || j.failure != nil || j.free() < j.size/beginsToWait
}

// makeSpares is the goroutine that makes segments.
func (j *Journal) makeSpares() {
	for {
		select {
		case <-j.stop:
			return
		case <-j.spare.wake:
			j.makeSpare()
			j.lookAtRoom()
		}
	}
}

func (j *Journal) makeSpare() {
	j.mu.Lock()
	size := max(j.spare.want, j.size)
	have := j.spare.next
	j.mu.Unlock()

	var err error
	if have == nil || have.size < size {
		err = j.replaceSpare(size)
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.spare
	s.err, s.failed = err, size
	if err != nil {
		s.retry = time.Now().Add(retryEvery)
	}
	s.want = 0
	s.making = false
	s.ready.Broadcast()
}

// replaceSpare makes a segment of that size and puts it in place, over one that
// is too small.
func (j *Journal) replaceSpare(size int64) error {
	d, err := newDraft(&j.id, size, j.flush.grain(), &j.spare.pace)
	if err != nil {
		return err
	}
	// While the new one takes its name, nobody may begin the old one.
	j.mu.Lock()
	old := j.spare.next
	j.spare.next = nil
	number := j.cur.number + 1
	j.mu.Unlock()

	fresh, err := d.finish(&j.id, number)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.spare.next = old
		return err
	}
	j.spare.next = fresh
	if old != nil {
		old.drop()
	}
	return nil
}
