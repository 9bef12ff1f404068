package startup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// Hello is what a client wants: to cancel a statement, or a session.
type Hello struct {
	// Conn is what the session is spoken over: TLS, but for a Cancel, which may
	// come in clear.
	Conn net.Conn
	// Client is the address that records and rules see; Via is the balancer's.
	Client, Via netip.AddrPort
	TLS         *tls.ConnectionState
	// GSSRequested tells that the client asked for GSS encryption first: libpq
	// does so when it holds a ticket.
	GSSRequested bool

	Cancel  *CancelKey
	Request *Request

	direct  bool // TLS began without a request for it
	release func()
}

// Release gives back the place among its source's connections that the client
// holds until it is authenticated. It may be called more than once.
func (h *Hello) Release() {
	if h.release != nil {
		h.release()
	}
}

// ErrLimit says that the source has too many connections that are not
// authenticated; it is an ErrSilent.
var ErrLimit = fmt.Errorf("%w: too many connections of this address before authentication", ErrSilent)

// ErrSilent says that the connection is to be closed without a word, as
// PostgreSQL does when what it reads cannot be from a client.
var ErrSilent = errors.New("no start-up packet")

// direct TLS begins with a record of type handshake (RFC 8446, section 5.1).
const recordTypeHandshake = 0x16

// Accept reads what comes before authentication. The caller has set a deadline
// on conn. On an error the Hello holds what was learnt: its Conn is where an
// answer goes. The error is a *pgwire.Error where the client gets one, and wraps
// ErrSilent where it gets none.
func Accept(ctx context.Context, conn net.Conn, opt *Options, limit *Limiter) (*Hello, error) {
	h := &Hello{Conn: conn, Client: ipaddr.Of(conn.RemoteAddr())}
	if contains(opt.ProxyProtocolFrom, h.Client.Addr()) {
		if err := h.readProxyHeader(); err != nil {
			return h, err
		}
	}
	release, ok := limit.Admit(h.Client.Addr())
	if !ok {
		return h, ErrLimit
	}
	h.release = release
	p := &packets{conn: h.Conn}
	var err error
	if h.direct, err = p.startsWith(recordTypeHandshake); err != nil {
		return h, err
	}
	if h.direct {
		if err := h.startTLS(ctx, p.rest(), opt); err != nil {
			return h, err
		}
		p = &packets{conn: h.Conn, exact: true}
	}
	return h, h.negotiate(ctx, p, opt)
}

// negotiate answers requests for encryption until the StartupMessage or the
// CancelRequest comes. Each kind of request is answered once.
func (h *Hello) negotiate(ctx context.Context, p *packets, opt *Options) error {
	declined := false // an SSLRequest inside of TLS
	for {
		code, body, err := p.next()
		if err != nil {
			return err
		}
		switch {
		case code == codeSSL && h.TLS == nil:
			stuffed := p.buffered()
			if _, err := h.Conn.Write([]byte{'S'}); err != nil {
				return fmt.Errorf("%w: %w", ErrSilent, err)
			}
			if err := h.startTLS(ctx, h.Conn, opt); err != nil {
				return err
			}
			if stuffed {
				return stuffedError("SSL")
			}
			p = &packets{conn: h.Conn, exact: true}
		case code == codeSSL && h.direct && !declined:
			declined = true
			if err := h.decline(); err != nil {
				return err
			}
		case code == codeGSS && !h.GSSRequested && (h.TLS == nil || h.direct):
			h.GSSRequested = true
			if p.buffered() {
				return stuffedError("GSSAPI encryption")
			}
			if err := h.decline(); err != nil {
				return err
			}
		case code == codeCancel:
			h.Cancel, err = readCancel(body)
			return err
		default:
			return h.readStartup(code, body)
		}
	}
}

// decline answers a request for encryption with no.
func (h *Hello) decline() error {
	if _, err := h.Conn.Write([]byte{'N'}); err != nil {
		return fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return nil
}

// stuffedError refuses what stands unencrypted behind a request for encryption
// (CVE-2021-23214).
func stuffedError(request string) error {
	return &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.ProtocolViolation,
		Message:  "received unencrypted data after " + request + " request",
		Detail:   "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
	}
}

func (h *Hello) readStartup(code uint32, body []byte) error {
	request, err := readRequest(code, body)
	h.Request = request
	if request != nil && (err != nil || h.TLS == nil) {
		// Which version is spoken, PostgreSQL has said before it looks at who asks.
		if err := h.Negotiate(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if h.TLS == nil {
		return &pgwire.Error{
			Severity: pgwire.SeverityFatal,
			Code:     pgwire.InvalidAuthorization,
			Message:  "this server takes encrypted connections only",
			Hint:     "Connect with sslmode=require or stronger; sslmode=verify-full proves who the server is.",
		}
	}
	return nil
}

func (h *Hello) startTLS(ctx context.Context, conn net.Conn, opt *Options) error {
	t := tls.Server(conn, opt.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: TLS handshake: %w", ErrSilent, err)
	}
	state := t.ConnectionState()
	h.Conn, h.TLS = t, &state
	if h.direct && state.NegotiatedProtocol != alpn {
		return fmt.Errorf("%w: direct TLS without ALPN protocol %q", ErrSilent, alpn)
	}
	return nil
}

// alpn is PostgreSQL's protocol id (protocol-flow, "SSL Session Encryption").
const alpn = "postgresql"

// Refuse tells the client an error, over TLS where it speaks TLS, and closes.
// Input is drained for a moment, for a reset would take the message with it.
func Refuse(conn net.Conn, e *pgwire.Error) {
	const grace = 2 * time.Second
	_ = conn.SetDeadline(time.Now().Add(grace))
	if _, err := conn.Write(e.Append(nil)); err == nil {
		if w, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(grace / 4))
		_, _ = io.CopyN(io.Discard, conn, 64<<10)
	}
	_ = conn.Close()
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
