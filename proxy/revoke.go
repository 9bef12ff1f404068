package proxy

import (
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// revocation is why a live session is to end.
type revocation struct {
	cause    auth.Cause
	detail   string
	change   string    // what changed: byConfiguration, …
	since    time.Time // when it changed
	incident string
}

// The causes of an end, as records name them.
const (
	endRevoked  = "revoked"
	endNarrowed = "narrowed"
)

// revoke ends a session whose grant is gone: what runs is cancelled, and its
// transaction ends with the backend's session. It reports whether it did so.
func (c *session) revoke(r *revocation) bool { return c.withdraw(r, endRevoked) }

func (c *session) withdraw(r *revocation, end string) bool {
	final := *r
	final.incident = newIncident()
	if r = &final; !c.revoked.CompareAndSwap(nil, r) {
		return false
	}
	c.terminate(end, &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.AdminShutdown,
		Message:  "terminating connection because the access it rests on was withdrawn",
		Detail:   r.told(),
		Hint:     "Connect again if you still have access; otherwise ask for it, and give the incident's id.",
		Incident: r.incident,
	})
	return true
}

// told is what the client hears of the cause. It has proved who it is, so that
// nothing of this is for others to learn.
func (r *revocation) told() string {
	switch r.cause {
	case auth.CauseAnotherGrant:
		return "The rules give this account another role here now."
	case auth.CauseStatement:
		return "The rules do not let pass what it streams any more."
	case auth.CauseNoMatchingRule:
		return "No rule gives this account a session here any more."
	case auth.CauseKilled:
		return "An operator ended the session."
	case auth.CauseLocked:
		return "An operator has locked this access."
	case auth.CauseDirectoryDown:
		return "The directory has not answered for longer than the rule lets a session go on without it."
	default:
		return "The account's state is: " + strings.ReplaceAll(string(r.cause), "_", " ") + "."
	}
}

// narrow ends a session at its next idle point. Until then it goes on under the
// grant that it has.
func (c *session) narrow(r *revocation) {
	if !c.narrowed.CompareAndSwap(nil, r) {
		return
	}
	c.server.rota.hurry(c)
	c.server.log.Info("a session ends at its next idle point", "session", c.id, "principal", c.context.Principal.UPN, "role", c.context.Role, "detail", r.detail)
}

// keepNarrow ends a session that is to be narrowed and idle. What the client
// sends from now on is never forwarded.
func (c *session) keepNarrow() {
	if r := c.narrowed.Load(); r != nil && c.machine.Quiesce() {
		c.withdraw(r, endNarrowed)
	}
}

// tellRevocation records why the session ended, where that was for a change, with
// the time from the change to the end.
func (c *session) tellRevocation(end string) {
	r := c.revoked.Load()
	if r == nil || end != endRevoked && end != endNarrowed {
		return
	}
	took := time.Since(r.since)
	_, err := c.server.recorder.Record(&audit.Event{
		Type: audit.Revocation, Prepared: c.prepared, Decision: audit.Denied, Incident: r.incident,
		Cause: string(r.cause), Detail: strings.TrimSuffix(r.change+": "+r.detail, ": "), Duration: max(took, 1), Rows: -1,
	})
	if err != nil {
		c.server.log.Error("record", "type", audit.Revocation, "session", c.id, "error", err)
	}
	c.server.metrics.RevocationSeconds.Observe(took.Seconds())
	c.server.log.Info("session revoked", "incident", r.incident, "session", c.id, "principal", c.context.Principal.UPN,
		"role", c.context.Role, "cause", r.cause, "change", r.change, "took", took)
}
