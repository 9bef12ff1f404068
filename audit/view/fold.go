package view

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// folded is what a line stands for, where it is more than one entry.
type folded struct {
	count uint64
	last  time.Time
	rows  int64 // in all; -1 where none had a number
	bytes int64
	took  time.Duration // in all
}

// folder makes one entry of identical repeated READs of a session: same text, class
// READ alone, no tag, allowed, completed. The entry stands where the first of them
// was. A fold ends with its session, or where maxWaiting entries wait behind it; the
// next repetition then begins another. The journal itself is never folded.
type folder struct {
	next  sink
	seed  maphash.Seed
	queue queue
	open  map[foldKey]*entry
	mine  map[string]map[foldKey]struct{} // open, by session
}

type foldKey struct {
	session string
	text    uint64 // hash: equal texts are compared before they fold
}

func newFolder(next sink) *folder {
	return &folder{next: next, seed: maphash.MakeSeed(), open: map[foldKey]*entry{}, mine: map[string]map[foldKey]struct{}{}}
}

func (f *folder) put(e *entry) error {
	if !foldable(e) {
		if e.Type == audit.SessionEnd {
			f.closeSession(e.Session)
		}
		f.queue.push(e)
		return f.drain(maxWaiting)
	}
	k := foldKey{e.Session, maphash.String(f.seed, e.TextDigest+parametersDigest(e)+e.Text)}
	switch first := f.open[k]; {
	case first == nil:
		f.open[k] = e
		if f.mine[e.Session] == nil {
			f.mine[e.Session] = map[foldKey]struct{}{}
		}
		f.mine[e.Session][k] = struct{}{}
		e.waiting = true
		f.queue.push(e)
	case identical(first, e):
		first.fold(e)
	default:
		f.queue.push(e) // another text of the same hash, or as another role
	}
	return f.drain(maxWaiting)
}

func foldable(e *entry) bool {
	return e.Type == audit.Statement && e.Decision == audit.Allowed && e.Session != "" &&
		e.outcome != nil && e.outcome.Result == audit.Completed &&
		len(e.Class) == 1 && e.Class[0] == "READ" && len(e.Tags) == 0 && len(e.Unknown) == 0
}

func identical(a, b *entry) bool {
	return a.Text == b.Text && a.TextDigest == b.TextDigest && a.Form == b.Form && a.Stream == b.Stream && a.Role == b.Role && a.CurrentRole == b.CurrentRole && a.Doubt == b.Doubt && a.Database == b.Database &&
		parametersDigest(a) == parametersDigest(b) && a.Name == b.Name && a.Rule == b.Rule && a.DecisionRule == b.DecisionRule && a.Reason == b.Reason &&
		slices.Equal(a.Objects, b.Objects) && a.Resolution == b.Resolution && slices.Equal(a.Resolved, b.Resolved)
}

// parametersDigest is that of a statement's parameters, "" where they are not on
// record. They have one whenever they are told apart.
func parametersDigest(e *entry) string {
	if e.Parameters == nil {
		return ""
	}
	return e.Parameters.Form + e.Parameters.Digest
}

// fold adds b to what e stands for.
func (e *entry) fold(b *entry) {
	if e.folded == nil {
		e.folded = &folded{count: 1, last: e.Time, rows: e.outcome.Rows, bytes: e.outcome.Bytes, took: e.outcome.Duration}
	}
	t := e.folded
	t.count++
	t.last = b.Time
	t.rows = sum(t.rows, b.outcome.Rows)
	t.bytes = sum(t.bytes, b.outcome.Bytes)
	t.took += b.outcome.Duration
}

// sum adds what may be -1, for none.
func sum(a, b int64) int64 {
	if a < 0 {
		return b
	}
	return a + max(0, b)
}

func (f *folder) closeSession(session string) {
	for k := range f.mine[session] {
		if e := f.open[k]; e != nil {
			e.waiting = false
			delete(f.open, k)
		}
	}
	delete(f.mine, session)
}

// drain gives on what is complete, and what too much waits behind.
func (f *folder) drain(keep int) error {
	for {
		e := f.queue.first()
		if e == nil || e.waiting && f.queue.len() <= keep && f.queue.bytes <= maxWaitingBytes {
			return nil
		}
		if e.waiting {
			f.close(e)
		}
		f.queue.pop()
		if err := f.next.put(e); err != nil {
			return err
		}
	}
}

func (f *folder) close(e *entry) {
	k := foldKey{e.Session, maphash.String(f.seed, e.TextDigest+parametersDigest(e)+e.Text)}
	e.waiting = false
	delete(f.open, k)
	delete(f.mine[e.Session], k)
	if len(f.mine[e.Session]) == 0 {
		delete(f.mine, e.Session)
	}
}

func (f *folder) flush() error { return f.next.flush() }

func (f *folder) end() error {
	if err := f.drain(-1); err != nil {
		return err
	}
	return f.next.end()
}
