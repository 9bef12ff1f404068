package relay

import (
	"crypto/sha256"
	"errors"
	"hash"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// copied is what the data of one COPY came to, in either direction.
type copied struct {
	begun  bool
	summed bool // there is a digest
	bytes  int64
	sum    [sha256.Size]byte
}

// copyMeter measures the data of one COPY after the other: the payloads of
// CopyData messages in their order, however they are cut.
type copyMeter struct {
	copied
	hash hash.Hash // kept from one COPY to the next; nil before the first that asked for it
}

// begin begins a stream, unless one has begun.
func (c *copyMeter) begin(want auth.Recording, from audit.Recorder) {
	if c.begun {
		return
	}
	c.begun = true
	if want != auth.RecordDigest {
		return
	}
	c.summed = true
	if c.hash == nil {
		c.hash = from.Keyed()
		return
	}
	c.hash.Reset()
}

func (c *copyMeter) write(payload []byte) {
	if c.summed {
		_, _ = c.hash.Write(payload) // a hash.Hash never fails
	}
}

// end ends the stream, and returns what it came to.
func (c *copyMeter) end() copied {
	if c.summed {
		c.hash.Sum(c.sum[:0])
	}
	done := c.copied
	c.copied = copied{}
	return done
}

// recording says what the grant of this moment wants on record.
func (m *Machine) recording() auth.Record { return m.grant.Load().Record }

// settleCopy ends the data of the COPY that e ran, if it ran one: its outcome is
// at hand.
func (m *Machine) settleCopy(e *entry, failed bool) {
	switch {
	case e.copying:
		m.copyEnded(e, failed)
	case m.given.begun:
		m.copied = m.given.end()
	case !e.unknown:
		m.copied = copied{}
	}
}

// copyDigest returns the digest of the COPY whose outcome is at hand; nil where
// there is none. It is valid until the next outcome.
func (m *Machine) copyDigest() []byte {
	if !m.copied.summed {
		return nil
	}
	return m.copied.sum[:]
}

// onCopyIn settles what the backend will swallow: it is reading COPY data from
// here to the next CopyDone or CopyFail, and ignores each Sync before that.
func (m *Machine) onCopyIn() {
	e := m.front(pgwire.CopyInResponse)
	if e == nil || !e.kind.executes() {
		return
	}
	e.copying = true
	ended, within := false, false // within the data, a Sync was met
	m.queue.retain(1, func(q *entry) bool {
		if ended {
			return true
		}
		switch q.kind {
		case kindSync:
			q.inCopy = true
			one := !within // see onSync
			within = true
			return one
		case kindBadFlush:
			q.inCopy = true
		case kindCopyEnd:
			m.copied, ended = q.copied, true
			return false
		default:
		}
		within = false
		return true
	})
	if ended {
		return
	}
	m.copyIn = true
	m.sent.begin(m.recording().Copy, m.opt.Recorder)
}

// onCopyEnd notes the end of COPY data. It is kept in the queue until it is
// known whether the backend was reading any: it ignores one that it did not ask
// for.
func (m *Machine) onCopyEnd(now int64) {
	done := m.sent.end()
	if m.copyIn {
		m.copyIn, m.copied = false, done
		return
	}
	if m.executing == 0 {
		return // nothing is outstanding that could ask for it
	}
	m.push(now, entry{kind: kindCopyEnd, copied: done})
}

// ErrAdrift says that a client sent Sync into the data of a COPY by Execute that
// then failed, and work behind it, or a Flush with a body into one by Query that failed.
// Whether the backend swallowed that or answers it nobody can tell, nor therefore
// whether it skips the work. SQLSTATE 08P01.
var ErrAdrift = errors.New("the client sent more work behind a Sync inside a COPY that failed")

// copyEnded settles the Syncs that were sent while COPY data was read: swallowed
// when the COPY was completed, of uncertain fate when it failed. That holds even
// for one that stands before the first of the data: a COPY can fail behind its
// CopyInResponse before it reads anything, into a view or by a trigger.
func (m *Machine) copyEnded(e *entry, failed bool) {
	if m.copyIn {
		m.copyIn, m.copied = false, m.sent.end()
	}
	e.copying = false
	m.tally.bytes += m.copied.bytes
	if !failed {
		m.queue.retain(1, func(q *entry) bool { return !q.inCopy })
		return
	}
	for i := 1; i < m.queue.len(); i++ {
		switch q := m.queue.at(i); {
		case q.kind == kindSync:
			// Behind a Query nothing is skipped: work runs, whichever Syncs are
			// answered.
			m.uncertain = q.inCopy && e.kind == kindExecute
			m.loose = m.loose || q.inCopy
		case q.kind == kindBadFlush && q.inCopy && e.kind != kindExecute:
			// It may have been ignored, or refused, and what stands behind it skipped.
			m.broken = ErrAdrift
			return
		case q.kind != kindCopyEnd && m.uncertain:
			m.broken = ErrAdrift
			return
		}
	}
}
