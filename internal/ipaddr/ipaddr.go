// Package ipaddr reads addresses and networks in the one form in which they are compared:
// IPv4 as IPv4, even where a socket for both has it in IPv6 clothes, and without a zone,
// for no network holds an address that has one.
package ipaddr

import (
	"fmt"
	"net"
	"net/netip"
)

// Plain returns the address in the form in which they are compared.
func Plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Of returns what an end of a TCP connection is called, and no address at all for another one.
func Of(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(Plain(ap.Addr()), ap.Port())
}

// Single returns the network of one address.
func Single(a netip.Addr) netip.Prefix {
	a = Plain(a)
	return netip.PrefixFrom(a, a.BitLen())
}

// ParseNetwork reads an address, or a network in CIDR form. What is set behind the mask
// does not count, and a zone is refused.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return Single(a), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an IP address nor a network such as 10.20.0.0/16", s)
	}
	const mapped = 96 // bits in front of an IPv4 address in IPv6 clothes
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), nil
}
