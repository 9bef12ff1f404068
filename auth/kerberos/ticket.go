package kerberos

import (
	"net/netip"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// checkTicket judges a ticket that the domain has made (RFC 4120, section 3.2.3).
// Its end is its end: the clocks of the domain and of the proxy are held to be
// the same, only clients' may be off.
//
// The realm of the client is that of the service: the key that opened the ticket is
// of that realm, and a domain that makes tickets for the people of another one would
// vouch for them. Whoever is of a domain gets a ticket of that domain, which knows
// the service, too.
func (a *Acceptor) checkTicket(ticket *messages.Ticket, source netip.Addr) error {
	t, now := &ticket.DecryptedEncPart, a.now()
	begins := t.StartTime
	if begins.IsZero() {
		begins = t.AuthTime
	}
	switch {
	case t.CRealm != ticket.Realm:
		return refusal(auth.CauseTicketRealm, "the client is of realm %q, and the ticket of %s", t.CRealm, ticket.Realm)
	case len(t.CName.NameString) != 1 || t.CName.NameString[0] == "":
		return refusal(auth.CauseNotAPerson, "the client's name has %d parts", len(t.CName.NameString))
	case types.IsFlagSet(&t.Flags, flags.Invalid):
		return refusal(auth.CauseTicketEarly, "the ticket is marked invalid")
	case begins.After(now.Add(skew)):
		return refusal(auth.CauseTicketEarly, "the ticket begins at %s", begins.UTC().Format(time.RFC3339))
	case !t.EndTime.After(now):
		return refusal(auth.CauseTicketExpired, "the ticket ended at %s", t.EndTime.UTC().Format(time.RFC3339))
	case size(t.Key.KeyType) != len(t.Key.KeyValue):
		return refusal(auth.CauseTicketKey, "the session's key is of type %d; only AES is accepted", t.Key.KeyType)
	case len(t.CAddr) > 0 && !bound(t.CAddr, source):
		return refusal(auth.CauseTicketAddress, "the ticket is bound to other addresses than %s", source)
	}
	return nil
}

// bound reports whether the addresses of a ticket include the client's.
func bound(list types.HostAddresses, source netip.Addr) bool {
	for _, h := range list {
		if h.AddrType != addrtype.IPv4 && h.AddrType != addrtype.IPv6 {
			continue
		}
		if a, ok := netip.AddrFromSlice(h.Address); ok && ipaddr.Plain(a) == ipaddr.Plain(source) {
			return true
		}
	}
	return false
}
