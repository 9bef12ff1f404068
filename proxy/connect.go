package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// welcome tells the client that it is let in. What is wrong with the session that it
// asks for, it hears from there on, as with PostgreSQL.
func (c *session) welcome() bool {
	const authenticationOk = 0
	if _, err := c.conn.Write(pgwire.AppendMessage(nil, pgwire.Authentication, binary.BigEndian.AppendUint32(nil, authenticationOk))); err != nil {
		c.server.log.Debug("the client left before its session began", "session", c.id, "error", err)
		_ = c.conn.Close()
		return false
	}
	if e := c.hello.Request.Refusal; e != nil {
		c.refuseSession("startup_parameters", e)
		return false
	}
	return true
}

// connect logs in at the backend as the scoped role (invariant 4).
func (c *session) connect() bool {
	g := c.grant.Load()
	began := time.Now()
	var unrecorded error
	conn, err := c.policy.Backends[g.Backend].Connect(context.Background(), backend.Login{
		Role: g.Role, Database: c.hello.Request.Database, Settings: c.settings(), Principal: c.identity.Name(),
		Signing: func(s backend.Signature) error {
			unrecorded = c.recordSignature(&s)
			return unrecorded
		},
	})
	c.server.metrics.BackendConnectSeconds.WithLabelValues(g.Backend).Observe(time.Since(began).Seconds())
	c.trace.Identify(&c.context)
	c.trace.Step("log in at backend", began, err)
	if err != nil {
		c.server.metrics.BackendConnectFailures.WithLabelValues(g.Backend).Inc()
		if unrecorded != nil {
			c.unrecorded(unrecorded)
			return false
		}
		c.refuseBackend(err)
		return false
	}
	c.backend = conn
	c.context.BackendPID = conn.PID
	c.prepared = c.server.recorder.Prepare(&c.context)
	return true
}

// recordSignature puts a certificate on record before it is signed.
func (c *session) recordSignature(s *backend.Signature) error {
	receipt, err := c.server.recorder.Record(&audit.Event{
		Type: audit.Issued, Context: &c.context, Decision: audit.Allowed, Detail: s.String(),
	})
	if err != nil {
		return err
	}
	c.server.metrics.Signatures.WithLabelValues(c.context.Backend).Inc()
	return c.waitFor(receipt)
}

func (c *session) refuseBackend(err error) {
	told := pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.ConnectionFailure, Message: "the database server cannot be reached"}
	var f *backend.Failure
	if errors.As(err, &f) {
		told = f.Told
	}
	told.Incident = newIncident()
	c.record(&audit.Event{
		Type: audit.Authorization, Decision: audit.Unavailable, Incident: told.Incident,
		Cause: "backend", Detail: err.Error(), SQLSTATE: told.Code, Claimed: c.hello.Request.User,
	})
	c.server.log.Warn("log-in at backend", "incident", told.Incident, "session", c.id, "backend", c.context.Backend,
		"role", c.context.Role, "principal", c.identity.Name(), "error", err)
	c.refuse(&told)
}

// settings are the parameters of the session at the backend: the client's, and
// its name with the principal's in front.
func (c *session) settings() map[string]string {
	settings := c.runtimeParameters()
	replication := c.hello.Request.Replication
	if replication != startup.NoReplication {
		settings["replication"] = string(replication)
	}
	name := c.hello.Request.Get("application_name")
	// Of a standby or subscriber the name is what synchronous_standby_names knows.
	if replication == startup.NoReplication && !c.policy.Backends[c.grant.Load().Backend].Options().OwnNames {
		name = c.applicationName(name)
	}
	if name != "" {
		settings["application_name"] = name
	}
	return settings
}

// runtimeParameters are what the client sets, but for its name. What stood in options stands
// there again, in its order: the backend complains of the first that is wrong. What is set
// more than once the backend is to read as often: half of DateStyle stays from the time before.
func (c *session) runtimeParameters() map[string]string {
	settings := make(map[string]string)
	last := make(map[string]int)
	for i, s := range c.hello.Request.Settings {
		last[strings.ToLower(s.Name)] = i
	}
	var options []string
	for i, s := range c.hello.Request.Settings {
		switch lower := strings.ToLower(s.Name); {
		case lower == "application_name":
		case last[lower] == i && i >= c.hello.Request.InOptions:
			settings[s.Name] = s.Value
		case !strings.ContainsAny(s.Name, "=-"): // in options these would be another name
			options = append(options, "-c "+startup.OptionsWord(s.Name+"="+s.Value))
		}
	}
	if len(options) > 0 {
		settings["options"] = strings.Join(options, " ")
	}
	return settings
}

// roomForNames is how long a name of the proxy's making may be: PostgreSQL cuts at
// 63 bytes and tells the client, and clients append to what they find.
const roomForNames = 48

// applicationName puts the principal in front of the client's name, where
// pg_stat_activity and the server's log show it; the account alone where the whole
// has no room, and nothing where that has none either. The client can change it: it
// is for people's eyes.
func (c *session) applicationName(own string) string {
	for _, principal := range []string{c.identity.Name(), c.identity.Handle()} {
		if name := strings.TrimSpace(principal + " " + own); len(name) <= roomForNames || own == "" {
			return name
		}
	}
	return own
}

// greet records that the session begins, and then tells the client that it is
// ready for queries: never the other way round.
func (c *session) greet() bool {
	c.started = time.Now()
	receipt, err := c.server.recorder.Record(&audit.Event{
		Type: audit.SessionStart, Prepared: c.prepared, Decision: audit.Allowed,
		Claimed: c.hello.Request.User, Detail: c.settingsText(),
	})
	if err != nil {
		c.unrecorded(err)
		return false
	}
	if err = c.waitFor(receipt); err != nil {
		c.end("unrecorded", err)
		c.unrecorded(err)
		return false
	}
	if !c.obtainKey() {
		c.end("shutdown", nil)
		c.refuse(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.CannotConnectNow, Message: "the proxy is shutting down"})
		_ = c.backend.Close()
		return false
	}
	out := pgwire.AppendMessage(c.backend.Greeting, pgwire.BackendKeyData, binary.BigEndian.AppendUint32(nil, c.key.pid), c.key.secret)
	out = pgwire.AppendMessage(out, pgwire.ReadyForQuery, []byte{'I'})
	c.backend.Greeting = nil
	if _, err := c.conn.Write(out); err != nil {
		c.end("client_gone", err)
		_ = c.backend.Close()
		_ = c.conn.Close()
		return false
	}
	return true
}

func (c *session) waitFor(receipt audit.Receipt) error {
	if !c.durable() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.policy.Startup.Timeout)
	defer cancel()
	return c.server.recorder.Wait(ctx, receipt)
}

// unrecorded refuses a session whose beginning cannot be written down.
func (c *session) unrecorded(err error) {
	e := &pgwire.Error{
		Severity: pgwire.SeverityFatal, Code: pgwire.IOError, Incident: newIncident(),
		Message: "the session was refused because its audit record could not be written",
		Hint:    "Nothing runs unrecorded. Tell the proxy's operator.",
	}
	if errors.Is(err, audit.ErrFull) {
		e.Code, e.Message = pgwire.DiskFull, "the session was refused because the audit journal is full"
	}
	c.server.log.Error("record", "incident", e.Incident, "session", c.id, "error", err)
	if c.backend != nil {
		_ = c.backend.Close()
	}
	c.refuse(e)
}

// settingsText lists the start-up parameters for the record: of those that hold
// secrets, and where the rule records no literals, the names.
func (c *session) settingsText() string {
	var parts []string
	rule := &c.grant.Load().Record
	if kind := c.hello.Request.Replication; kind != startup.NoReplication {
		parts = append(parts, "replication="+string(kind))
	}
	for _, s := range c.hello.Request.Settings {
		value := s.Value
		switch {
		case statement.SecretName(s.Name) || statement.Telling([]byte(value)):
			value = "<redacted>"
		case rule.Hides() && strings.ToLower(s.Name) != "application_name":
			value = "?"
		}
		parts = append(parts, s.Name+"="+value)
	}
	text, _ := rule.Patterns.Redact(strings.Join(parts, " "))
	return text
}
