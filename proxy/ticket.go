package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
)

// byTicket asks for a Kerberos ticket, proves it, and reads the account of its
// holder from the directory.
func (c *session) byTicket(ctx context.Context) (detail string, ok bool) {
	token, err := c.hello.AskTicket()
	if err != nil {
		c.unanswered(auth.CauseNoTicket, err)
		return "", false
	}
	c.ask()
	ticket, err := c.policy.Methods.Tickets.Accept(token, c.request.Source)
	var identity auth.Identity
	if err == nil {
		identity, err = c.holder(ctx, &ticket)
	}
	c.server.metrics.AuthenticationSeconds.Observe(time.Since(c.asked).Seconds())
	c.trace.Step("authenticate", c.asked, err)
	if err != nil {
		c.hold(ctx)
		c.refuseLogin(audit.Authentication, err)
		return "", false
	}
	if ticket.Reply != nil {
		if err := c.hello.Continue(ticket.Reply); err != nil {
			c.unanswered(auth.CauseNoTicket, err)
			return "", false
		}
	}
	c.request.Assurance = ticket.SIDs
	c.ticketKey = ticket.Key
	c.proof = ending{ticket.Ends, auth.CauseTicketExpired}
	c.identify(identity)
	detail = fmt.Sprintf("ticket of %s until %s", ticket.Client, ticket.Ends.UTC().Format(time.RFC3339))
	if len(ticket.Through) > 0 {
		detail += ", through " + strings.Join(ticket.Through, ", ")
	}
	return detail, true
}

// holder finds the account that the client names, which must be the ticket's, and
// in good order: a ticket outlives both its holder's name and its leave.
func (c *session) holder(ctx context.Context, t *auth.Ticket) (auth.Identity, error) {
	id, err := c.policy.Resolver.Lookup(ctx, c.hello.Request.User)
	if err != nil {
		return auth.Identity{}, c.explainTicket(err, t)
	}
	if id.SID != t.SID {
		// The identity stays out of the record: it is not the one that was proved.
		return auth.Identity{}, &auth.Failure{
			Cause: auth.CauseIdentityMismatch, Detail: fmt.Sprintf("the ticket is of %s, %s", t.Client, t.SID),
		}
	}
	if cause := id.State.Barred(); cause != auth.CauseNone {
		return auth.Identity{}, &auth.Failure{
			Cause: cause, Detail: "the account's state, read after a ticket that was accepted", Identity: id,
		}
	}
	return id, nil
}

// explainTicket adds to a failure whose ticket came with a name that means
// nobody: that of the client's operating system, where psql was given none.
func (c *session) explainTicket(err error, t *auth.Ticket) error {
	var f *auth.Failure
	if !errors.As(err, &f) || f.Cause != auth.CauseNoSuchAccount {
		return err
	}
	told := *f
	told.Detail = fmt.Sprintf("%s; the ticket is of %s", f.Detail, t.Client)
	return &told
}
