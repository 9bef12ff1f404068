package auth

import (
	"net/netip"
	"time"
)

// Acceptor proves a Kerberos ticket.
//
// The token is what a client answers AuthenticationGSS with. The error is a
// *Failure whenever the log-in is refused; beside it the Ticket holds the name
// of the client, where that was learnt.
type Acceptor interface {
	Accept(token []byte, source netip.Addr) (Ticket, error)
	// Holds reports whether tickets that were made with that key are accepted.
	Holds(key [32]byte) bool
}

// Ticket is what a Kerberos ticket says that was proved. It is a snapshot of the
// account, made when its holder logged on: the account's state and groups are
// the directory's to tell.
type Ticket struct {
	Client string // name@REALM
	// Through are the services that got the ticket in the client's name (constrained
	// delegation), the last of them last; none where the client got it itself.
	Through []string
	SID     string    // the account's
	SIDs    []string  // its groups', and those that say how its holder logged on
	Ends    time.Time // the ticket
	Key     [32]byte  // a digest of the key that it was made with
	// Reply proves the proxy to the client; nil where the client does not ask.
	Reply []byte
}
