package relay

import (
	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// cancels is what the machine knows of requests to cancel what the session runs. The
// backend knows one moment alone, the one at which it hears of a cancel, and ignores it
// when it is idle. A client's statement is running for as long as it has no answer.
// So a cancel that comes while the proxy has the statement in hand is kept: where that
// is still to be judged, it is refused; where it is judged, the cancel goes behind it.
type cancels struct {
	unsent  int           // messages at the end of the queue that the driver has not sent yet
	judging bool          // a message that was asked to be spooled is there whole, and being judged
	kept    target        // what a cancel was kept for
	meant   bool          // the text at hand is the one that it was kept for
	passing int           // cancels that are on their way to the backend
	calm    chan struct{} // closed when none is any more; nil where none is
}

// target is what a cancel is for.
type target uint8

const (
	nothing target = iota
	theUnsent
	theJudged
)

// Cancel tells that the session's work is to be cancelled. Where pass is true, that is
// the caller's to tell the backend, and Passed to be called when the backend has heard
// it, or never will: meanwhile nothing begins that the cancel is not meant for.
// Otherwise the machine sees to it.
func (m *Machine) Cancel() (pass bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.cancels
	switch unsent := min(c.unsent, m.queue.len()); {
	case m.copyIn || m.busy(m.queue.len()-unsent):
		// The backend has work.
	case unsent > 0:
		c.kept = theUnsent
		return false
	case m.text != nil || m.judged != nil || c.judging:
		c.kept = theJudged
		return false
	}
	m.begin()
	return true
}

// busy tells whether the first n messages of the queue hold one that the backend works at.
func (m *Machine) busy(n int) bool {
	for i := range n {
		if k := m.queue.at(i).kind; k != kindCopyEnd && (k != kindSync || !m.loose) {
			return true
		}
	}
	return false
}

func (m *Machine) begin() {
	if m.cancels.passing++; m.cancels.calm == nil {
		m.cancels.calm = make(chan struct{})
	}
}

// Passed tells that a cancel is not on its way any more.
func (m *Machine) Passed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.cancels
	if c.passing--; c.passing == 0 {
		close(c.calm)
		c.calm = nil
	}
}

// Calm is closed when no cancel is on its way to the backend, as Client asks for by
// Cancelling.
func (m *Machine) Calm() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancels.calm == nil {
		return closed
	}
	return m.cancels.calm
}

var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Sent tells that the output of the last step has been sent as a whole. Where a cancel
// was kept for that, cancel is true, and it goes to the backend as after Cancel.
func (m *Machine) Sent() (cancel bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.cancels
	if m.filing {
		return false
	}
	c.unsent = 0
	if c.kept != theUnsent {
		return false
	}
	c.kept = nothing
	m.begin()
	return true
}

// Judging tells that the message that Client asked to spool is there whole.
func (m *Machine) Judging() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cancels.judging = true
}

// take tells whether a cancel was kept for the text that has just been judged.
func (c *cancels) take() bool {
	c.judging = false
	meant := c.kept == theJudged
	if meant {
		c.kept = nothing
	}
	return meant
}

// disturbed tells whether a message must not begin yet: a cancel is on its way that was
// meant for what the client has had the answer to.
func (m *Machine) disturbed(typ byte) bool {
	if m.cancels.passing == 0 || !m.resting() || m.copyIn {
		return false
	}
	switch typ {
	case pgwire.CopyData, pgwire.CopyDone, pgwire.CopyFail, pgwire.Terminate:
		return false
	default:
		return true
	}
}

// causeCancelled is in the record of a statement that was cancelled before it ran.
const causeCancelled = "cancelled"

// cancelled makes the answer to it: PostgreSQL's own.
func (m *Machine) cancelled() *refusal {
	return &refusal{
		quiet: true,
		err: pgwire.Error{
			Severity: pgwire.SeverityError,
			Code:     pgwire.QueryCanceled,
			Message:  "canceling statement due to user request",
			Incident: m.opt.Incident(),
		},
	}
}

// forego settles a statement that was cancelled before it ran, unless it is denied anyway.
func (v *verdict) forego() {
	v.decision, v.cause = audit.Unavailable, causeCancelled
}
