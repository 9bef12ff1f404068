package auth

import (
	"net/netip"
	"testing"
)

type anyTicket struct{}

func (anyTicket) Accept([]byte, netip.Addr) (Ticket, error) { return Ticket{}, nil }

func TestChooseMethod(t *testing.T) {
	office := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fe80::/10")}
	pins := []Pin{
		{Sources: office, Databases: []string{"legacy"}, Method: Password},
		{Databases: []string{"vault"}, Method: Kerberos},
		{Users: []string{"svc-orders"}, Method: Password},
	}
	for _, c := range []struct {
		name    string
		offered bool
		from    Approach
		want    Method
	}{
		{"nothing shown", true, Approach{}, Password},
		{"a ticket", true, Approach{HoldsTicket: true}, Kerberos},
		{"a ticket that nobody can check", false, Approach{HoldsTicket: true}, Password},
		{"asks for the password", true, Approach{HoldsTicket: true, Asked: "password"}, Password},
		{"asks for Kerberos", true, Approach{Asked: "Kerberos"}, Kerberos},
		{"asks for Kerberos, which is not offered", false, Approach{Asked: "kerberos"}, ""},
		{"asks for nonsense", true, Approach{Asked: "trust"}, ""},
		{"asks for a certificate", true, Approach{Asked: "certificate"}, ""},
		{"pinned by database", true, Approach{Database: "vault"}, Kerberos},
		{"pinned by database, asks otherwise", true, Approach{Database: "vault", Asked: "password"}, ""},
		{"pinned by database, asks the same", true, Approach{Database: "vault", Asked: "kerberos"}, Kerberos},
		{"pinned to what is not offered", false, Approach{Database: "vault"}, ""},
		{"pinned by name", true, Approach{User: "SVC-Orders", HoldsTicket: true}, Password},
		{"pinned by name, with a domain", true, Approach{User: `CORP\svc-orders`, HoldsTicket: true}, Password},
		{"pinned by name, as a UPN", true, Approach{User: "svc-orders@corp.example.com", HoldsTicket: true}, Password},
		{"pinned by name, that of the account", true, Approach{User: "svc--orders", HoldsTicket: true, Proved: &Identity{Account: "svc-orders"}}, Password},
		{"another name", true, Approach{User: "svc-orders2", HoldsTicket: true, Proved: &Identity{Account: "svc-orders2"}}, Kerberos},
		{"pinned by source and database", true, Approach{Source: netip.MustParseAddr("::ffff:10.1.2.3"), Database: "legacy", HoldsTicket: true}, Password},
		{"pinned by source, which has a zone", true, Approach{Source: netip.MustParseAddr("fe80::1%eth0"), Database: "legacy", HoldsTicket: true}, Password},
		{"another source", true, Approach{Source: netip.MustParseAddr("10.2.2.3"), Database: "legacy", HoldsTicket: true}, Kerberos},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Methods{Pins: pins}
			if c.offered {
				m.Tickets = anyTicket{}
			}
			got, err := m.Choose(c.from)
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func (anyTicket) Holds([32]byte) bool { return true }
