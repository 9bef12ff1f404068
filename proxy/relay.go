package proxy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/driver"
	"github.com/pgcustos/pgcustos/proxy/parameters"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// messagesAtOnce bounds what a client that sends many messages at once gets done before
// others have their turn.
const messagesAtOnce = 32

// relayBytes hands both connections to a driver, which sees to it that the session's
// end is recorded. It may return long before that: the goroutine is free to end.
func (c *session) relayBytes() {
	s := c.server
	g := c.grant.Load()
	_ = c.conn.SetDeadline(time.Time{})
	judge := statement.For(s.judge, c.account)
	if c.hello.Request.Replication != startup.NoReplication {
		judge = statement.Walsender(judge)
	}
	c.machine = relay.New(relay.Options{
		Judge: judge, Recorder: c.trace.Recorder(s.recorder), Prepared: c.prepared, Budget: &c.allowance.budget, Grant: g,
		Incident: newIncident, MaxMessage: c.policy.MaxMessage, AtOnce: messagesAtOnce, SpoolOver: s.spoolOver(), Parameters: c.backend.Parameters, Path: c.path(), Began: s.now(),
		SearchPath: c.hello.Request.Get("search_path"), Role: c.context.Role, Catalog: c.enterCatalog(c.policy),
		MayWait:      c.mayWait(),
		OnParameter:  c.followParameter,
		OnDecision:   s.metrics.decided,
		OnUnrecorded: c.unrecordedStatement,
		OnOutcome:    s.metrics.ended,
		Spool:        func() (parameters.Spool, error) { return parameters.TemporaryFile(s.spoolDir) },
	})
	c.relay = driver.New(driver.Options{
		Loops: s.loops, Memory: s.memory,
		Client: c.conn, Backend: c.backend.Conn, Machine: c.machine, Judge: judge, Recorder: s.recorder,
		Cancel: c.backend.Cancel, Now: s.now, Incident: newIncident, ClientGoneGrace: c.policy.ClientGoneGrace, MaxMessage: c.policy.MaxMessage,
		Spool: s.spool, Principal: c.account, MaxText: s.maxText,
	})
	c.backend.Parameters = nil // the machine has what it follows
	live := s.metrics.Sessions.WithLabelValues(g.Backend, g.Role)
	live.Inc()
	s.enliven(c)
	c.catchUp()
	s.work.Add(1)
	c.relay.Start(func(finish func() (driver.Cause, error)) {
		defer s.work.Done()
		defer c.contain()
		defer c.leave()
		defer c.enterCatalog(nil)
		defer live.Dec()
		cause, err := finish()
		s.deaden(c)
		if cause == driver.OutOfMemory {
			s.metrics.MemoryRefusals.WithLabelValues("session").Inc()
		}
		c.end(string(cause), err)
	})
}

// mayWait asks the recorder whether it may wait before it records a statement.
func (c *session) mayWait() func() bool {
	h, ok := c.server.recorder.(audit.Hesitant)
	if !ok {
		return nil
	}
	return func() bool { return h.MayWait(&c.allowance.budget) }
}

// path tells whether the start-up parameters change search_path.
func (c *session) path() auth.Path {
	for _, s := range c.hello.Request.Settings {
		if strings.EqualFold(s.Name, "search_path") { // "" is a path, too
			return auth.PathUnknown
		}
	}
	return auth.PathDefault
}

// followParameter keeps the application's name in the records, which a client
// may change at any time.
func (c *session) followParameter(name, value string) *audit.Prepared {
	if name != "application_name" {
		return nil
	}
	context := c.context
	context.ApplicationName, _ = c.grant.Load().Record.Patterns.Redact(value)
	return c.server.recorder.Prepare(&context)
}

func (c *session) unrecordedStatement(incident string, err error) {
	if errors.Is(err, audit.ErrBudget) {
		c.overdrawn(incident, err)
		return
	}
	c.server.log.Error("a statement was refused for want of a record", "incident", incident, "session", c.id, "error", err)
}

func (c *session) durable() bool { return c.grant.Load().Durability == auth.DurableDisk }

// terminate ends the session for a reason of the proxy's own.
func (c *session) terminate(cause string, e *pgwire.Error) {
	if !c.cause.CompareAndSwap(nil, &cause) {
		return
	}
	c.relay.End(e)
}

// end records that the session is over.
func (c *session) end(cause string, err error) {
	if own := c.cause.Load(); own != nil {
		cause = *own
	}
	c.tellRevocation(cause)
	e := &audit.Event{Type: audit.SessionEnd, Prepared: c.prepared, Cause: cause, Duration: time.Since(c.started), Rows: -1}
	if err != nil {
		e.Detail = err.Error()
	}
	if c.machine != nil {
		totals := c.machine.Totals()
		e.Incident = c.relay.Incident()
		e.Detail = strings.TrimSpace(fmt.Sprintf("%d statements, %d denied. %s", totals.Statements, totals.Denied, e.Detail))
		e.Bytes = int64(totals.ToClient)
		c.server.metrics.toBackend.Add(float64(totals.FromClient))
		c.server.metrics.toClient.Add(float64(totals.ToClient))
	}
	c.server.metrics.SessionsEnded.WithLabelValues(cause).Inc()
	c.trace.End(cause)
	if _, err := c.server.recorder.Record(e); err != nil {
		c.server.log.Error("record", "type", audit.SessionEnd, "session", c.id, "error", err)
	}
	c.server.log.Debug("session ended", "session", c.id, "principal", c.context.Principal.UPN, "role", c.context.Role, "cause", cause)
}
