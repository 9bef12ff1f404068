package view

import (
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

const (
	// maxWaiting entries, and maxWaitingBytes of them, wait for an outcome, or behind
	// one that does; then the oldest goes on without.
	maxWaiting      = 10_000
	maxWaitingBytes = 64 << 20
	// maxPassed is how many statements that went on without their outcome are kept in
	// mind, by stream and sequence only.
	maxPassed = 1 << 20
)

// joiner lets a filter choose, and puts a statement and its outcome together by
// stream and sequence. It gives entries on in the order of the records that they
// begin with.
type joiner struct {
	match    *matcher
	next     sink
	timed    bool // entries remember since when they wait
	queue    queue
	open     map[key]*entry
	prepares map[string][]*entry // that wait, by session: most never get an outcome

	passed map[key]struct{} // chosen statements that went on without their outcome
	order  []key            // of passed, the oldest first
}

func newJoiner(m *matcher, next sink) *joiner {
	return &joiner{
		match: m, next: next, open: map[key]*entry{}, prepares: map[string][]*entry{}, passed: map[key]struct{}{},
	}
}

// add takes the next record.
func (j *joiner) add(r *journal.Record) error {
	switch {
	case r.Type == audit.Outcome && j.complete(r):
	case j.match.record(r):
		e := newEntry(r)
		if e.waiting {
			j.await(e)
		}
		j.queue.push(e)
	}
	if r.Type == audit.SessionEnd && len(j.prepares) > 0 {
		j.settlePrepares(r, ^uint64(0))
	}
	return j.drain(maxWaiting, time.Time{})
}

// await notes that an outcome of e may come.
func (j *joiner) await(e *entry) {
	if j.timed {
		e.since = time.Now()
	}
	j.open[e.key()] = e
	if e.Type == audit.Prepare {
		j.prepares[e.Session] = append(j.prepares[e.Session], e)
	}
}

// complete says whether the outcome belongs to a statement that was chosen, and
// gives it to it.
func (j *joiner) complete(r *journal.Record) bool {
	k := key{r.Stream, r.Statement}
	if len(j.prepares) > 0 {
		j.settlePrepares(r, r.Statement)
	}
	if e := j.open[k]; e != nil {
		e.outcome, e.waiting = r, false
		delete(j.open, k)
		if e.Type == audit.Prepare {
			j.settlePrepares(r, e.Sequence+1)
		}
		return true
	}
	if _, ok := j.passed[k]; !ok {
		return false
	}
	delete(j.passed, k)
	if j.match.shows(string(audit.Outcome)) || j.match.needsOutcome() {
		j.queue.push(&entry{Record: r, late: !j.match.needsOutcome(), weight: entryOverhead})
	}
	return true
}

// settlePrepares ends the waiting of the session's prepared texts before a
// statement: a session's answers come in order, and a Parse that went well is
// followed by none of its own.
func (j *joiner) settlePrepares(r *journal.Record, before uint64) {
	waiting := j.prepares[r.Session]
	n := 0
	for n < len(waiting) && (waiting[n].Sequence < before || waiting[n].Stream != r.Stream) {
		waiting[n].waiting = false
		delete(j.open, waiting[n].key())
		n++
	}
	switch {
	case n == 0:
	case n == len(waiting):
		delete(j.prepares, r.Session)
	default:
		j.prepares[r.Session] = waiting[n:]
	}
}

// drain gives on what is complete, from the first on; also what is not where more
// than keep wait, or since before patience.
func (j *joiner) drain(keep int, patience time.Time) error {
	for {
		e := j.queue.first()
		if e == nil {
			return nil
		}
		if e.waiting {
			if j.queue.len() <= keep && j.queue.bytes <= maxWaitingBytes && !e.since.Before(patience) {
				return nil
			}
			j.pass(e)
		}
		j.queue.pop()
		if !j.match.outcome(e.answer()) {
			continue
		}
		if err := j.next.put(e); err != nil {
			return err
		}
	}
}

// pass lets e go on without its outcome, which is remembered.
func (j *joiner) pass(e *entry) {
	k := e.key()
	e.waiting = false
	delete(j.open, k)
	if e.Type == audit.Prepare {
		j.settlePrepares(e.Record, e.Sequence+1)
	}
	if len(j.order) >= 2*maxPassed {
		j.forget()
	}
	j.passed[k] = struct{}{}
	j.order = append(j.order, k)
}

// forget drops the older half of what is kept in mind.
func (j *joiner) forget() {
	for _, k := range j.order[:maxPassed] {
		delete(j.passed, k)
	}
	j.order = append([]key(nil), j.order[maxPassed:]...)
}

// flush gives on what has waited long enough.
func (j *joiner) flush(patience time.Time) error {
	if err := j.drain(maxWaiting, patience); err != nil {
		return err
	}
	return j.next.flush()
}

func (j *joiner) end() error {
	if err := j.drain(-1, time.Time{}); err != nil {
		return err
	}
	return j.next.end()
}

// queue holds entries in their order.
type queue struct {
	entries []*entry
	at      int // of the first
	bytes   int64
}

func (q *queue) len() int { return len(q.entries) - q.at }

func (q *queue) first() *entry {
	if q.at == len(q.entries) {
		return nil
	}
	return q.entries[q.at]
}

func (q *queue) push(e *entry) {
	q.entries = append(q.entries, e)
	q.bytes += e.weight
}

func (q *queue) pop() {
	q.bytes -= q.entries[q.at].weight
	q.entries[q.at] = nil
	q.at++
	switch {
	case q.at == len(q.entries):
		q.entries, q.at = q.entries[:0], 0
	case q.at >= 1024 && q.at*2 >= len(q.entries):
		n := copy(q.entries, q.entries[q.at:])
		clear(q.entries[n:])
		q.entries, q.at = q.entries[:n], 0
	}
}
