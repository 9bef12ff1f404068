package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// authenticate has the client prove who it is, in the one way that was chosen for
// it: a way that fails falls back to no other.
func (c *session) authenticate(ctx context.Context) bool {
	approach := c.approach()
	approach.HoldsCertificate = len(c.hello.TLS.PeerCertificates) > 0
	method, err := c.policy.Methods.Choose(approach)
	if err != nil {
		c.refuseMethod(err)
		return false
	}
	c.request.Method = method
	c.context.Method = string(method)
	prove := map[auth.Method]func(context.Context) (string, bool){
		auth.Password: c.byPassword, auth.Kerberos: c.byTicket, auth.Certificate: c.byCertificate,
	}[method]
	detail, ok := prove(ctx)
	c.hello.TLS.PeerCertificates, c.hello.TLS.VerifiedChains = nil, nil
	if !ok || !c.asPinned(ctx) {
		return false
	}
	c.server.metrics.Authentications.WithLabelValues("success", "").Inc()
	_, err = c.server.recorder.Record(&audit.Event{
		Type: audit.Authentication, Decision: audit.Allowed, Context: &c.context, Claimed: c.hello.Request.User, Detail: detail,
	})
	if err != nil {
		c.unrecorded(err)
	}
	return err == nil
}

// approach is what the client said before it proved who it is, but for the certificate.
func (c *session) approach() auth.Approach {
	return auth.Approach{
		Source: c.request.Source, Database: c.request.Database, User: c.hello.Request.User,
		Asked: c.hello.Request.Auth, HoldsTicket: c.hello.GSSRequested,
	}
}

// asPinned refuses an account that has proved itself otherwise than a pin demands of it, for
// it was called by a name that does not tell. The client hears what everybody hears.
func (c *session) asPinned(ctx context.Context) bool {
	pinned := c.pinned(c.policy)
	if pinned == "" || pinned == c.request.Method {
		return true
	}
	c.hold(ctx)
	c.refuseLogin(audit.Authentication, &auth.Failure{
		Cause: auth.CauseMethod, Detail: fmt.Sprintf("authentication by %s is demanded of the account, and it was by %s", pinned, c.request.Method), Identity: c.identity,
	})
	return false
}

// pinned is the method that a policy demands of the account, "" for any.
func (c *session) pinned(p *Policy) auth.Method {
	approach, id := c.approach(), c.currentIdentity()
	approach.Proved = &id
	return p.Methods.Pinned(&approach)
}

// byPassword asks for the password and proves it against the directory.
func (c *session) byPassword(ctx context.Context) (detail string, ok bool) {
	password, err := c.hello.AskPassword()
	if err != nil {
		c.unanswered(auth.CauseNoPassword, err)
		return "", false
	}
	defer password.Wipe()
	c.ask()
	identity, err := c.policy.Authenticator.Authenticate(ctx, c.hello.Request.User, c.request.Source, password)
	c.server.metrics.AuthenticationSeconds.Observe(time.Since(c.asked).Seconds())
	c.trace.Step("authenticate", c.asked, err)
	if err != nil {
		c.refuseLogin(audit.Authentication, err)
		return "", false
	}
	c.identify(identity)
	return "", true
}

// ask takes down that the client has said who it is, and that the directory's turn is
// next.
func (c *session) ask() {
	c.place.Heard()
	c.asked = time.Now()
}

// refusalStep is what the time to a refusal is a multiple of: the directory takes
// it for its own, and an account without a rule is to look like one of them.
const refusalStep = 100 * time.Millisecond

// hold waits until a refusal may be told, so that its time does not tell its
// cause.
func (c *session) hold(ctx context.Context) {
	if over := time.Since(c.asked) % refusalStep; over > 0 {
		pause(ctx, refusalStep-over)
	}
}

// unanswered ends a client that did not answer the request for a password or a
// ticket. psql is one that will come again: it went to ask its user.
func (c *session) unanswered(cause auth.Cause, err error) {
	var told *pgwire.Error
	if !errors.As(err, &told) {
		c.unheard(string(cause), "")
		return
	}
	told.Incident = c.recordStranger(&audit.Event{
		Type: audit.Authentication, Decision: audit.Denied, Incident: newIncident(),
		Cause: string(cause), Detail: told.Message, Claimed: c.hello.Request.User,
	})
	c.refuse(told)
}

// identify enters the account into what records have in common.
func (c *session) identify(id auth.Identity) {
	c.setIdentity(id)
	c.confirmed.Store(c.server.now())
	c.account = id.Key()
	c.context.Principal = principal(&id)
}

func principal(id *auth.Identity) audit.Principal {
	return audit.Principal{
		Account: id.Handle(), UPN: id.UPN, SID: id.SID, GUID: id.GUID, DN: id.DN,
		Kind: string(id.Kind), Owner: id.Owner,
	}
}

// hints tell what a refused client can look at, whatever the cause.
var hints = map[auth.Method]string{
	auth.Password: "Check the name and the password. If both are right, ask your help desk, and give the incident's id.",
	auth.Kerberos: "Check that your ticket is this user's (klist), or connect with options='-c pgcustos.auth=password'. " +
		"If it is, ask your help desk, and give the incident's id.",
	auth.Certificate: "Check that your certificate (sslcert) is this user's and in force, or connect with options='-c pgcustos.auth=password'. " +
		"If it is, ask your help desk, and give the incident's id.",
}

// refuseMethod ends a client that asks for a way in that it cannot have.
func (c *session) refuseMethod(why error) {
	e := &pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.InvalidAuthorization, Message: why.Error()}
	e.Incident = c.recordStranger(&audit.Event{
		Type: audit.Authentication, Decision: audit.Denied, Incident: newIncident(),
		Cause: string(auth.CauseMethod), Detail: e.Message, Claimed: c.hello.Request.User,
	})
	c.server.metrics.Authentications.WithLabelValues("failure", string(auth.CauseMethod)).Inc()
	c.refuse(e)
}

// refuseLogin tells every client the same, whatever the cause; the record and
// the log have the cause.
func (c *session) refuseLogin(typ audit.Type, err error) {
	var f *auth.Failure
	if !errors.As(err, &f) {
		f = &auth.Failure{Cause: auth.CauseDirectoryAnswer, Detail: err.Error()}
	}
	if f.Identity.GUID != "" {
		c.identify(f.Identity)
	}
	e := &audit.Event{
		Type: typ, Decision: audit.Denied, Incident: newIncident(),
		Cause: string(f.Cause), Detail: f.Detail, Claimed: c.hello.Request.User,
	}
	incident := e.Incident
	if typ == audit.Authentication && c.unproved(f) {
		incident = c.recordStranger(e)
	} else {
		c.record(e)
	}
	if typ == audit.Authentication {
		c.server.metrics.Authentications.WithLabelValues("failure", string(f.Cause)).Inc()
	} else {
		c.server.metrics.Authorizations.WithLabelValues("denied").Inc()
	}
	c.server.log.Info("log-in refused", "incident", incident, "session", c.id, "source", c.hello.Client,
		"user", printable(c.hello.Request.User), "cause", f.Cause, "detail", f.Detail)
	c.refuse(c.refusalFor(f.Cause, incident))
}

// unproved reports whether a log-in was refused to somebody who has proved nothing, and
// of whose password no count is kept: there may be as many of these as strangers like.
func (c *session) unproved(f *auth.Failure) bool {
	switch f.Cause {
	case auth.CauseIdentityMismatch: // who shows another's ticket or certificate has proved one
		return false
	case auth.CauseThrottled:
		return true
	case auth.CauseLockedOut: // a directory says so whatever the password is
		return c.request.Method == auth.Password
	default:
		return f.Identity.GUID == ""
	}
}

// refusalFor is what the client is told. That the directory does not answer is no
// secret: whoever waits at a prompt is not to look for a mistake of theirs.
func (c *session) refusalFor(cause auth.Cause, incident string) *pgwire.Error {
	e := &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.InvalidPassword,
		Message:  fmt.Sprintf("authentication failed for user \"%s\"", printable(c.hello.Request.User)),
		Hint:     hints[c.request.Method],
		Incident: incident,
	}
	if cause == auth.CauseDirectoryDown {
		e.Code, e.Message = pgwire.CannotConnectNow, "the directory that knows the users does not answer"
		e.Hint = "Try again later. If it stays so, tell your help desk, and give the incident's id."
	}
	return e
}

// recordStranger records the refusal of a log-in that is nobody's, or whose password nobody
// has looked at: of one source and cause some, the others with their count. It returns the
// incident that the client is told.
func (c *session) recordStranger(e *audit.Event) (incident string) {
	incident, counted := c.server.strangers.refusedAgain(c.hello.Client, e.Cause, e.Detail, e.Incident)
	if !counted {
		c.record(e)
	}
	return incident
}

// record writes down an event of this session that refuses something anyway, so
// that a journal without room changes nothing but the log.
func (c *session) record(e *audit.Event) {
	e.Prepared, e.Context = c.prepared, c.contextIfUnprepared()
	if _, err := c.server.recorder.Record(e); err != nil {
		c.server.log.Error("record", "type", e.Type, "incident", e.Incident, "session", c.id, "error", err)
	}
}

// printable bounds a name that a stranger sent, and neutralises what could act
// in a terminal or a log.
func printable(s string) string {
	const most = 64
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
