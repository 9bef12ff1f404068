package startup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// readProxyHeader reads the PROXY protocol header that a listed balancer has to
// send: version 2 alone, whose length is bounded. A balancer's own health check
// comes with the command LOCAL and keeps its address.
func (h *Hello) readProxyHeader() error {
	raw, err := readHeader(h.Conn)
	if err != nil {
		return err
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return fmt.Errorf("%w: the PROXY header: %w", ErrSilent, err)
	}
	if header.Command.IsLocal() {
		return nil
	}
	source, ok := header.SourceAddr.(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%w: the PROXY header names no TCP address", ErrSilent)
	}
	h.Via, h.Client = h.Client, ipaddr.Of(source)
	return nil
}

// The fixed part of a version 2 header: a signature, version with command, family, and
// the length of the rest (proxy-protocol.txt, section 2.2).
const fixedHeader, maxHeader = 16, 4 << 10

// readHeader reads the bytes of a header, and not one more: what follows is the
// client's.
func readHeader(conn net.Conn) ([]byte, error) {
	raw := make([]byte, fixedHeader)
	if _, err := io.ReadFull(conn, raw); err != nil {
		return nil, fmt.Errorf("%w: the balancer sent no PROXY header: %w", ErrSilent, err)
	}
	if !bytes.HasPrefix(raw, proxyproto.SIGV2) || raw[12]>>4 != 2 {
		return nil, fmt.Errorf("%w: the balancer sent no PROXY header of version 2", ErrSilent)
	}
	rest := int(binary.BigEndian.Uint16(raw[14:]))
	if rest > maxHeader {
		return nil, fmt.Errorf("%w: a PROXY header of %d bytes", ErrSilent, rest)
	}
	raw = append(raw, make([]byte, rest)...)
	if _, err := io.ReadFull(conn, raw[fixedHeader:]); err != nil {
		return nil, fmt.Errorf("%w: the PROXY header: %w", ErrSilent, err)
	}
	return raw, nil
}
