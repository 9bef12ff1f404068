package relay

import "github.com/pgcustos/pgcustos/internal/statement"

// kind is what an outstanding message is.
type kind uint8

const (
	kindQuery kind = iota + 1
	kindParse
	kindBind
	kindDescribe
	kindExecute
	kindClose
	kindSync
	kindFunctionCall
	kindCopyEnd  // CopyDone or CopyFail: answered by nothing of its own
	kindBadFlush // with a body; a Flush as it should be is answered by nothing, and is no entry
)

// executes tells which messages run something.
func (k kind) executes() bool {
	return k == kindQuery || k == kindExecute || k == kindFunctionCall
}

// entry is a message that was forwarded and is not answered yet.
type entry struct {
	kind    kind
	ofWire  bool   // Close: of a portal, not of a statement
	unknown bool   // Query: its statements could not be told apart, or one of them has several answers
	failed  bool   // an error was its answer; what follows, up to its end, is skipped
	settled bool   // something was its answer
	copying bool   // it is a COPY that reads from the client
	id      uint64 // of the pending definition that it makes
	slot    *slot  // the name that it defines, executes or closes
	runs    int    // how many of the machine's runs are its, and not settled
	sent    int64  // ns
	copied  copied // of a COPY's end: what was sent up to it
	refusal *refusal
	inCopy  bool // Sync, Flush: sent while a COPY may have been reading, which swallows it
}

// answered reports whether the backend has said anything to the message.
func (e *entry) answered() bool { return e.failed || e.settled || e.copying }

// swallowed tells which messages a COPY swallows, unless it fails before.
func (e *entry) swallowed() bool {
	return e.inCopy && e.kind == kindSync
}

// run is a statement of an outstanding message, in the order of execution.
type run struct {
	seq  uint64 // of its record; 0 where it has none of its own
	id   uint64 // of the pending definition that it makes
	st   *statement.Statement
	slot *slot
	// parse is set for the record of a Parse message, batch for a statement of a Query of
	// several, which are a block.
	parse, batch bool
	// parts is set where the portal was suspended before it came to its end.
	parts bool
}

// ring is a queue that keeps its memory while it is in use and gives it back
// when it was large and is empty. It begins with room for one client's usual message.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

const (
	ringMin  = 2
	ringKeep = 256
)

func (r *ring[T]) len() int { return r.n }

func (r *ring[T]) push(v T) *T {
	if r.n == len(r.buf) {
		r.grow()
	}
	p := &r.buf[(r.head+r.n)&(len(r.buf)-1)]
	*p = v
	r.n++
	return p
}

func (r *ring[T]) grow() {
	next := make([]T, max(ringMin, 2*len(r.buf)))
	for i := range r.n {
		next[i] = *r.at(i)
	}
	r.buf, r.head = next, 0
}

// at returns the i-th from the front. The pointer is good until the next push.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) front() *T {
	if r.n == 0 {
		return nil
	}
	return r.at(0)
}

func (r *ring[T]) pop() T {
	p := r.at(0)
	v := *p
	var zero T
	*p = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 && len(r.buf) > ringKeep {
		r.buf, r.head = nil, 0
	}
	return v
}

// truncate takes all but the first n out.
func (r *ring[T]) truncate(n int) {
	var zero T
	for r.n > n {
		r.n--
		*r.at(r.n) = zero
	}
}

// retain keeps those of the entries behind the first n that keep wants. It asks from
// the front on, and once for each.
func (r *ring[T]) retain(n int, keep func(*T) bool) {
	kept := n
	for i := n; i < r.n; i++ {
		p := r.at(i)
		if !keep(p) {
			continue
		}
		if kept != i {
			*r.at(kept) = *p
		}
		kept++
	}
	r.truncate(kept)
}
