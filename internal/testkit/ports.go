package testkit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on. It is only
// free until somebody takes it: whoever starts a server on it tries again with
// another one when that fails.
func FreePort() (uint16, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}

// controllerPorts are the ports of a domain controller. Samba can move 88 and
// 464, but not those of LDAP, so that each controller has an address to itself.
var controllerPorts = []int{88, 389, 464, 636, 3268, 3269}

// freeAddress returns an address of 127.0.0.0/8 on which none of the ports is
// taken. On Linux all of them are local without being configured.
func freeAddress(ports []int) (netip.Addr, error) {
	const tries = 50
	var last error
	for range tries {
		addr := netip.AddrFrom4([4]byte{127, byte(64 + rand.IntN(64)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
		if last = allFree(addr, ports); last == nil {
			return addr, nil
		}
		if errors.Is(last, syscall.EACCES) {
			return netip.Addr{}, fmt.Errorf("%w: ports below 1024 need root or CAP_NET_BIND_SERVICE", last)
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address on loopback (is a server listening on all addresses?): %w", last)
}

func allFree(addr netip.Addr, ports []int) error {
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(addr.String(), strconv.Itoa(port)))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// PortFree tells whether a server on loopback could listen there.
func PortFree(port uint16) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	return l.Close()
}
