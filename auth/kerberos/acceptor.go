package kerberos

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
)

var _ auth.Acceptor = (*Acceptor)(nil)

// Options say whose tickets are accepted, and for whom.
type Options struct {
	// Realms are those of the domains. Tickets of others are refused, and so are those
	// that one of them made for the people of another: each vouches for its own.
	Realms []Realm
	// Service is the first half of the principals that tickets may be for:
	// "postgres" unless clients set krbsrvname.
	Service string
	// Keytab holds the keys.
	Keytab *Keytab
}

// Realm is a domain's.
type Realm struct {
	Name string // in upper case: CORP.EXAMPLE.COM
	// SID is the domain's. Accounts of its tickets have a SID of it, and groups of other
	// domains do not count. Empty where there is one domain alone: then all count.
	SID string
}

// realm returns the realm of that name, nil where it is none of these.
func (o *Options) realm(name string) *Realm {
	for i := range o.Realms {
		if o.Realms[i].Name == name {
			return &o.Realms[i]
		}
	}
	return nil
}

func (o *Options) realmNames() string {
	names := make([]string, len(o.Realms))
	for i := range o.Realms {
		names[i] = o.Realms[i].Name
	}
	return strings.Join(names, ", ")
}

// Acceptor checks tickets. It is safe for concurrent use, and does no I/O.
type Acceptor struct {
	options Options
	replays *Replays
	now     func() time.Time
}

// New makes an acceptor. The replays outlive it, for a reload must not forget
// them.
func New(o Options, replays *Replays) *Acceptor {
	return &Acceptor{options: o, replays: replays, now: time.Now}
}

// skew is how far the clocks of clients may be off (RFC 4120, section 5.5.1 and
// Active Directory's default).
const skew = 5 * time.Minute

// Accept implements auth.Acceptor.
func (a *Acceptor) Accept(token []byte, source netip.Addr) (t auth.Ticket, err error) {
	defer func() {
		// The library below was not written for what strangers send.
		if p := recover(); p != nil {
			t, err = auth.Ticket{}, malformed("the token made the decoder fail: %v", p)
		}
	}()
	return a.accept(token, source)
}

func (a *Acceptor) accept(token []byte, source netip.Addr) (auth.Ticket, error) {
	req, err := readToken(token)
	if err != nil {
		return auth.Ticket{}, err
	}
	key, err := a.openTicket(req)
	if err != nil {
		return auth.Ticket{}, err
	}
	t := auth.Ticket{Client: clientName(&req.Ticket), Ends: req.Ticket.DecryptedEncPart.EndTime, Key: digest(&key)}
	refused := func(err error) (auth.Ticket, error) { return auth.Ticket{Client: t.Client}, err }
	if err := a.checkTicket(&req.Ticket, source); err != nil {
		return refused(err)
	}
	mutual, err := a.openAuthenticator(req)
	if err != nil {
		return refused(err)
	}
	// What comes from here on is genuine: the client knows the session's key.
	if err := a.replays.add(req.EncryptedAuthenticator.Cipher, t.Client, madeAt(req), a.now()); err != nil {
		return refused(err)
	}
	if err := readPAC(req, key, &t); err != nil {
		return refused(err)
	}
	if t.SIDs, err = a.options.realm(req.Ticket.Realm).filter(t.SID, t.SIDs); err != nil {
		return refused(err)
	}
	if mutual {
		if t.Reply, err = reply(req); err != nil {
			return refused(err)
		}
	}
	return t, nil
}

// Holds implements auth.Acceptor.
func (a *Acceptor) Holds(wanted [32]byte) bool {
	return slices.ContainsFunc(a.options.Keytab.keys, func(k key) bool {
		return digest(&k.secret) == wanted && a.options.realm(k.Realm) != nil && strings.EqualFold(k.Service, a.options.Service)
	})
}

// digest names a key without giving it away.
func digest(k *types.EncryptionKey) [32]byte {
	return sha256.Sum256(append([]byte("pgcustos ticket key\x00"), k.KeyValue...))
}

// clientName is the name that the domain knows the ticket's holder by.
func clientName(t *messages.Ticket) string {
	return strings.Join(t.DecryptedEncPart.CName.NameString, "/") + "@" + t.DecryptedEncPart.CRealm
}

func refusal(cause auth.Cause, format string, args ...any) *auth.Failure {
	err := fmt.Errorf(format, args...)
	return &auth.Failure{Cause: cause, Detail: clip(err.Error()), Err: errors.Unwrap(err)}
}

func malformed(format string, args ...any) *auth.Failure {
	return refusal(auth.CauseTicketMalformed, format, args...)
}

// clip bounds what a token can make a record hold.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
