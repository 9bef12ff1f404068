// Package hba tells who may log in from where by the lines of a server's
// pg_hba.conf: https://www.postgresql.org/docs/current/auth-pg-hba-conf.html.
package hba

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Line is a line of pg_hba.conf, as the view pg_hba_file_rules has it.
type Line struct {
	Number           int32
	Type             string // local, host, hostssl, hostnossl, hostgssenc, hostnogssenc
	Databases, Users []string
	Address          string // an address, a host name, all, samehost, samenet; empty for local
	Netmask          string
	Method           string
	Options          []string
}

// String writes the line as the file has it, for people.
func (l Line) String() string {
	parts := []string{l.Type, strings.Join(l.Databases, ","), strings.Join(l.Users, ",")}
	if p, ok := l.network(); ok && l.Address != "all" {
		parts = append(parts, p.String())
	} else if l.Address != "" {
		parts = append(parts, l.Address)
	}
	return fmt.Sprintf("line %d (%s)", l.Number, strings.Join(append(parts, l.Method), " "))
}

// Elsewhere returns the lines by which a role may log in from somewhere that is in
// none of the networks. Without networks that is what comes over TCP at all. The
// function says whether what stands for a user in a line is about the role, where
// that is no plain name: a group, or an expression.
func Elsewhere(lines []Line, role string, is func(user string) bool, networks []netip.Prefix) []Line {
	var before, out []Line
	for _, l := range lines {
		if !l.about(role, is) {
			continue
		}
		decided := slices.ContainsFunc(before, func(b Line) bool { return b.covers(&l) })
		before = append(before, l)
		if !decided && l.Method != "reject" && l.reachesBeyond(networks) {
			out = append(out, l)
		}
	}
	return out
}

// about reports whether the line is about sessions of the role. Replication
// connections are others.
func (l *Line) about(role string, is func(string) bool) bool {
	if !slices.ContainsFunc(l.Databases, func(d string) bool { return d != "replication" }) {
		return false
	}
	return slices.ContainsFunc(l.Users, func(u string) bool {
		return u == "all" || u == role || (strings.HasPrefix(u, "+") || strings.HasPrefix(u, "/")) && is(u)
	})
}

// covers reports whether all that the other line is about was decided by this one.
func (l *Line) covers(other *Line) bool {
	sameDatabases := slices.Contains(l.Databases, "all") || slices.Equal(l.Databases, other.Databases)
	sameType := l.Type == other.Type || l.Type == "host" && other.Type != "local"
	if !sameDatabases || !sameType {
		return false
	}
	if l.Type == "local" || l.Address == "all" {
		return true
	}
	mine, ok := l.network()
	theirs, other4 := other.network()
	return ok && other4 && mine.Bits() <= theirs.Bits() && mine.Contains(theirs.Addr())
}

// reachesBeyond reports whether the line lets in who comes from outside the networks.
// A host's name, samehost and samenet can be anything.
func (l *Line) reachesBeyond(networks []netip.Prefix) bool {
	if l.Type == "local" {
		// By peer it is the operating system's account of that name.
		return len(networks) > 0 && (l.Method != "peer" || slices.ContainsFunc(l.Options, func(o string) bool { return strings.HasPrefix(o, "map=") }))
	}
	mine, ok := l.network()
	return !ok || !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() <= mine.Bits() && n.Contains(mine.Addr()) })
}

// network is what the line's address and mask stand for.
func (l *Line) network() (netip.Prefix, bool) {
	a, err := netip.ParseAddr(l.Address)
	if err != nil {
		return netip.Prefix{}, false
	}
	mask := net.IPMask(net.ParseIP(l.Netmask))
	if a.Is4() {
		mask = net.IPMask(net.ParseIP(l.Netmask).To4())
	}
	ones, bits := mask.Size()
	if bits != a.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, ones), true
}
