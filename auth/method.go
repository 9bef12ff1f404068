package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// Approach is what is known of a client before it proves who it is. All but the
// address are its own words, so that nothing rests on them but the way in which it
// is asked first.
type Approach struct {
	Source         netip.Addr
	Database, User string
	// Asked is the method that the client asks for (options=-c
	// pgcustos.auth=…); empty for none.
	Asked string
	// HoldsTicket tells that the client asked for GSS encryption first, which
	// libpq does when it holds a Kerberos ticket.
	HoldsTicket bool
	// HoldsCertificate tells that the client showed one in its TLS handshake.
	HoldsCertificate bool
	// Proved is whose account it is, once that is known: a directory may take other names
	// for an account's than show that. Nil before.
	Proved *Identity
}

// Methods are the ways in.
type Methods struct {
	// Tickets proves Kerberos tickets; nil where Kerberos is not offered.
	Tickets Acceptor
	// Certificates proves client certificates; nil where none are asked for.
	Certificates Certifier
	// Pins are asked in order, the first that matches decides.
	Pins []Pin
}

// Pin demands a method of some clients. A condition that is empty asks for
// nothing.
type Pin struct {
	Sources   []netip.Prefix
	Databases []string
	Users     []string // names of accounts, in any form
	Method    Method
}

// Matches reports whether the pin is about that client.
func (p *Pin) Matches(a *Approach) bool {
	source := ipaddr.Plain(a.Source)
	return (len(p.Sources) == 0 || slices.ContainsFunc(p.Sources, func(n netip.Prefix) bool { return n.Contains(source) })) &&
		(len(p.Databases) == 0 || slices.Contains(p.Databases, a.Database)) &&
		(len(p.Users) == 0 || slices.ContainsFunc(p.Users, a.isCalled))
}

// isCalled reports whether a pin's name is that of the client, by what it calls itself, with
// or without a domain, or as the account that it has proved.
func (a *Approach) isCalled(name string) bool {
	bare := a.User[strings.LastIndexByte(a.User, '\\')+1:]
	bare, _, _ = strings.Cut(bare, "@")
	return SameName(name, a.User) || SameName(name, bare) || a.Proved != nil && a.Proved.Called(name)
}

// Pinned returns the method that a pin demands of a client, "" where none does.
func (m *Methods) Pinned(a *Approach) Method {
	for i := range m.Pins {
		if m.Pins[i].Matches(a) {
			return m.Pins[i].Method
		}
	}
	return ""
}

// Choose decides how a client is asked to prove who it is: as a pin demands, as
// the client asks, or else by what it shows. The error is for the client; no
// method stands in for another.
func (m *Methods) Choose(a Approach) (Method, error) {
	asked := Method(strings.ToLower(a.Asked))
	switch asked {
	case "", Password, Kerberos, Certificate:
	default:
		return "", fmt.Errorf("there is no authentication method %.32q: pgcustos.auth is password, kerberos or certificate", a.Asked)
	}
	method := asked
	if pinned := m.Pinned(&a); pinned != "" {
		if asked != "" && asked != pinned {
			return "", fmt.Errorf("authentication by %s is not allowed here: leave pgcustos.auth out, or set it to %s", asked, pinned)
		}
		method = pinned
	}
	switch {
	case method == Kerberos && m.Tickets == nil:
		return "", fmt.Errorf("authentication by Kerberos is not offered: set pgcustos.auth to password")
	case method == Certificate && m.Certificates == nil:
		return "", fmt.Errorf("authentication by certificate is not offered: set pgcustos.auth to password")
	case method != "":
		return method, nil
	case a.HoldsCertificate && m.Certificates != nil:
		return Certificate, nil
	case a.HoldsTicket && m.Tickets != nil:
		return Kerberos, nil
	default:
		return Password, nil
	}
}
