package startup

import (
	"fmt"
	"net"

	proxyproto "github.com/pires/go-proxyproto"
)

// readProxyHeader reads the PROXY protocol header that a listed balancer has to
// send: version 2 alone, whose length is bounded. A balancer's own health check
// comes with the command LOCAL and keeps its address.
func (h *Hello) readProxyHeader() error {
	conn := proxyproto.NewConn(h.Conn, proxyproto.WithPolicy(proxyproto.REQUIRE))
	header := conn.ProxyHeader()
	if header == nil {
		return fmt.Errorf("%w: the balancer sent no PROXY header", ErrSilent)
	}
	if header.Version != 2 {
		return fmt.Errorf("%w: PROXY protocol version %d", ErrSilent, header.Version)
	}
	h.Conn = conn
	if header.Command.IsLocal() {
		return nil
	}
	source, ok := header.SourceAddr.(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%w: the PROXY header names no TCP address", ErrSilent)
	}
	h.Via, h.Client = h.Client, addrPort(source)
	return nil
}
