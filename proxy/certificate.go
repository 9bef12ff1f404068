package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// byCertificate proves the certificate that the client showed in its handshake, and
// reads the account that it names from the directory.
func (c *session) byCertificate(ctx context.Context) (detail string, ok bool) {
	if len(c.hello.TLS.PeerCertificates) == 0 {
		c.unanswered(auth.CauseNoCertificate, &pgwire.Error{
			Severity: pgwire.SeverityFatal, Code: pgwire.InvalidAuthorization,
			Message: "connection requires a valid client certificate",
			Hint:    "Set sslcert and sslkey, or leave pgcustos.auth out.",
		})
		return "", false
	}
	c.ask()
	shown, err := c.policy.Methods.Certificates.Verify(c.hello.TLS.PeerCertificates)
	var identity auth.Identity
	if err == nil {
		identity, err = c.bearer(ctx, &shown)
	}
	c.server.metrics.AuthenticationSeconds.Observe(time.Since(c.asked).Seconds())
	c.trace.Step("authenticate", c.asked, err)
	if err != nil {
		c.hold(ctx)
		c.refuseLogin(audit.Authentication, err)
		return "", false
	}
	if err := c.hello.Negotiate(); err != nil {
		c.unanswered(auth.CauseNoCertificate, err)
		return "", false
	}
	c.certificates, c.certified = c.hello.TLS.PeerCertificates, shown.Name
	c.proof = ending{shown.Ends, auth.CauseCertificateExpired}
	c.identify(identity)
	return fmt.Sprintf("certificate %s of %s, %s, until %s", shown.Serial, shown.Name, shown.Subject, shown.Ends.UTC().Format(time.RFC3339)), true
}

// bearer finds the account that the client names, which must be the one that the
// certificate names, and in good order.
func (c *session) bearer(ctx context.Context, shown *auth.Shown) (auth.Identity, error) {
	mismatch := func(how string) error {
		// The identity stays out of the record: it is not the one that was proved.
		return &auth.Failure{Cause: auth.CauseIdentityMismatch, Detail: fmt.Sprintf("the certificate is of %s, %s%s", shown.Name, shown.Subject, how)}
	}
	id, err := c.policy.Resolver.Lookup(ctx, c.hello.Request.User)
	if err != nil {
		return auth.Identity{}, explainCertificate(err, shown)
	}
	if !auth.SameName(shown.Name, c.hello.Request.User) {
		named, err := c.policy.Resolver.Lookup(ctx, shown.Name)
		if err != nil {
			return auth.Identity{}, explainCertificate(err, shown)
		}
		if named.Key() != id.Key() {
			return auth.Identity{}, mismatch("")
		}
	}
	if !id.Called(shown.Name) { // directories overlook spaces, accents and widths
		return auth.Identity{}, mismatch(", and the account that the directory knows by that is " + id.Handle())
	}
	if shown.SID != "" && !auth.SameName(shown.SID, id.SID) {
		return auth.Identity{}, mismatch(", whose SID was " + shown.SID)
	}
	if cause := id.State.Barred(); cause != auth.CauseNone {
		return auth.Identity{}, &auth.Failure{
			Cause: cause, Detail: "the account's state, read after a certificate that was accepted", Identity: id,
		}
	}
	return id, nil
}

// explainCertificate adds to a failure whose certificate came with a name that means
// nobody, or means nobody itself.
func explainCertificate(err error, shown *auth.Shown) error {
	var f *auth.Failure
	if !errors.As(err, &f) || f.Cause == auth.CauseDirectoryDown {
		return err
	}
	told := *f
	told.Detail = fmt.Sprintf("%s; the certificate is of %s, %s", f.Detail, shown.Name, shown.Subject)
	return &told
}

// withdrawn tells why what has proved a session's account would not let it in any more,
// under another configuration: it is to prove itself in another way, tickets or certificates
// are not taken at all, an authority was left out, a list has the certificate, or it is
// another account's; nil where it would.
func (c *session) withdrawn(p *Policy, since time.Time) *revocation {
	r := &revocation{cause: auth.CauseMethod, change: byConfiguration, since: since}
	switch pinned := c.pinned(p); {
	case pinned != "" && pinned != c.request.Method:
		r.detail = fmt.Sprintf("authentication by %s is demanded here, and it was by %s", pinned, c.request.Method)
		return r
	case c.request.Method == auth.Kerberos && p.Methods.Tickets == nil:
		r.detail = "tickets are not taken any more"
		return r
	case c.request.Method == auth.Kerberos && !p.Methods.Tickets.Holds(c.ticketKey):
		r.cause, r.detail = auth.CauseTicketKey, "the keytab has the key no more that the ticket was made with"
		return r
	case len(c.certificates) == 0:
		return nil
	case p.Methods.Certificates == nil:
		r.detail = "certificates are not taken any more"
		return r
	}
	shown, err := p.Methods.Certificates.Verify(c.certificates)
	var f *auth.Failure
	switch id := c.currentIdentity(); {
	case errors.As(err, &f):
		r.cause, r.detail = f.Cause, f.Detail
	case err == nil && (auth.SameName(shown.Name, c.certified) || id.Called(shown.Name)):
		return nil
	case err == nil:
		r.cause, r.detail = auth.CauseIdentityMismatch, fmt.Sprintf("the certificate is of %s now, %s", shown.Name, shown.Subject)
	}
	return r
}
