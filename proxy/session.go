package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/telemetry/tracing"
	"github.com/pgcustos/pgcustos/proxy/backend"
	"github.com/pgcustos/pgcustos/proxy/catalog"
	"github.com/pgcustos/pgcustos/proxy/driver"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/startup"
)

// session is one client, from accept to end.
type session struct {
	// Static.
	server *Server
	id     string
	conn   net.Conn
	trace  *tracing.Session // nil for none
	place  *startup.Place   // before authentication

	// Set by the session's own goroutine before the session is registered, and
	// static from then on.
	hello    *startup.Hello
	policy   *Policy
	request  auth.Request
	context  audit.Context
	prepared *audit.Prepared
	backend  *backend.Conn
	machine  *relay.Machine
	relay    *driver.Relay
	key      cancelKey
	account  string    // auth.Identity.Key
	asked    time.Time // when the directory was asked
	started  time.Time
	usage    []usageKey

	allowance *allowance

	// proof is when what proved the account ends.
	proof ending
	// ticketKey names the key that the client's ticket was made with, where that proved the
	// account.
	ticketKey [32]byte
	// certificates are what the client has shown, where that proved the account, by the
	// name that is certified.
	certificates []*x509.Certificate
	certified    string

	// What others change while the session lives.
	mu       sync.Mutex
	identity auth.Identity              // guarded by mu
	catalog  *catalog.Database          // guarded by mu: that it is counted in; nil for none
	gone     bool                       // guarded by mu: it is not to be counted any more
	grant    atomic.Pointer[auth.Grant] // replaced by a reload
	cause    atomic.Pointer[string]     // of an end that the proxy decided on
	revoked  atomic.Pointer[revocation] // why its grant is gone
	narrowed atomic.Pointer[revocation] // why it is to end at its next idle point
	// confirmed is when the directory last told that the account is in order, on the
	// server's clock; expires when the account ends.
	confirmed atomic.Int64
	expires   atomic.Pointer[ending]
	guestOf   atomic.Pointer[[]string] // the other domains that the account has groups of
	watched   watched                  // owned by Server.watch
	turn      turnOf                   // guarded by server.rota
	live      bool                     // guarded by server.mu: it is relayed

	// judging is held while the session is judged again: domains are watched each by
	// itself, and each tells of its part of the account.
	judging sync.Mutex
}

// ending is when something ends that a session rests on, the zero time for never,
// and the cause for which the session then ends.
type ending struct {
	at    time.Time
	cause auth.Cause
}

// run is the life of a session, up to where a driver has it.
func (c *session) run() {
	policy := c.server.policy.Load()
	c.policy = policy
	ctx, cancel := context.WithTimeout(context.Background(), policy.Startup.Timeout)
	defer cancel()
	_ = c.conn.SetDeadline(time.Now().Add(policy.Startup.Timeout))
	if c.place.Displaced() { // before there was a deadline
		_ = c.conn.Close()
		return
	}

	if !c.startup(ctx) {
		return
	}
	if c.hello.Cancel != nil {
		c.place.Heard()
		c.cancelRequest(ctx)
		return
	}
	c.trace = c.server.tracer.Begin(c.id)
	if !c.begin(ctx) {
		c.trace.End("no_session")
		c.leave()
		return
	}
	c.relayBytes()
}

// begin takes a client that has said what it wants to its first ReadyForQuery.
func (c *session) begin(ctx context.Context) bool {
	if !c.authenticate(ctx) || !c.choose(ctx) || !c.unlocked() || !c.occupy() {
		return false
	}
	c.hello.Release()
	c.place.Succeeded()
	c.server.regulars.Add(c.hello.Client.Addr()) // where a balancer tells of it
	return c.welcome() && c.connect() && c.greet()
}

// startup takes the connection to its StartupMessage or CancelRequest.
func (c *session) startup(ctx context.Context) bool {
	c.server.metrics.PreAuth.Inc()
	defer c.server.metrics.PreAuth.Dec()
	hello, err := startup.Accept(ctx, c.conn, &c.policy.Startup, c.server.limiter.Load())
	c.hello, c.conn = hello, hello.Conn
	if err == nil {
		c.describe()
		return true
	}
	hello.Release()
	var told *pgwire.Error
	if errors.As(err, &told) {
		told.Incident = newIncident()
		c.server.log.Info("start-up refused", "incident", told.Incident, "source", hello.Client, "error", told)
		c.server.strangers.note(hello.Client, "startup_refused", told.Message)
		startup.Refuse(c.conn, told)
		return false
	}
	c.server.log.Debug("no start-up", "source", hello.Client, "error", err)
	c.unheard(causeOfSilence(err), err.Error())
	return false
}

// unheard ends a connection whose client did not say what it had to. One that made room
// for others hears so, where it speaks TLS already.
func (c *session) unheard(cause, detail string) {
	defer c.hello.Release()
	if !c.place.Displaced() {
		c.server.strangers.note(c.hello.Client, cause, detail)
		_ = c.conn.Close()
		return
	}
	c.server.strangers.note(c.hello.Client, "displaced", "others needed its place: it had not said who it is for a tenth of listen.pre_auth.timeout")
	if c.hello.TLS == nil {
		_ = c.conn.Close()
		return
	}
	startup.Refuse(c.conn, &pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.TooManyConnections, Message: "sorry, too many clients already"})
}

// causeOfSilence names why a stranger was left without a word.
func causeOfSilence(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, startup.ErrLimit):
		return "limit_per_source"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "no_startup"
	}
}

// describe begins what the session's records have in common.
func (c *session) describe() {
	c.context = audit.Context{Session: c.id, Source: audit.Source{Address: c.hello.Client, Via: c.hello.Via}}
	if state := c.hello.TLS; state != nil {
		c.context.Source.TLS = tls.VersionName(state.Version)
		c.context.Source.Cipher = tls.CipherSuiteName(state.CipherSuite)
	}
	if r := c.hello.Request; r != nil {
		c.context.Database = r.Database
		c.context.ApplicationName, _ = c.policy.Patterns.Redact(r.Get("application_name"))
		c.context.Reason, _ = c.policy.Patterns.Redact(r.Reason)
		c.request = auth.Request{
			Database: r.Database, Source: c.hello.Client.Addr(), Role: r.Role, Reason: r.Reason,
		}
	}
}

// refuse ends a client that has no session, with an error that it is told.
func (c *session) refuse(e *pgwire.Error) {
	c.hello.Release()
	startup.Refuse(c.conn, e)
}

func (c *session) contextIfUnprepared() *audit.Context {
	if c.prepared != nil {
		return nil
	}
	return &c.context
}
