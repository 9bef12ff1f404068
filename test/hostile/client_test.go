package hostile

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// Codes in the place of a protocol version.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
	protocol30 = 3 << 16
	protocol32 = 3<<16 | 2
)

// packet is one without a type: a length, a code, a body.
func packet(code uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

// startupBody lists parameters, names and values, as they stand in a
// StartupMessage.
func startupBody(parameters ...string) []byte {
	var b []byte
	for _, p := range parameters {
		b = append(append(b, p...), 0)
	}
	return append(b, 0)
}

func startup(parameters ...string) []byte { return packet(protocol30, startupBody(parameters...)...) }

// frame is a message with its type; its length is what the caller claims.
func frame(typ byte, length uint32, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, length), body...)
}

func message(typ byte, body string) []byte { return frame(typ, uint32(4+len(body)), body) }

func query(sql string) []byte { return message('Q', sql+"\x00") }

// client is a raw connection to the proxy, from an address of its own.
type client struct {
	t      *testing.T
	site   *testkit.Site
	tcp    *net.TCPConn
	conn   net.Conn // tcp, or TLS over it
	front  *pgproto3.Frontend
	source string // address:port
	began  time.Time
	pid    uint32
	secret []byte
	notes  []pgproto3.NegotiateProtocolVersion
}

func dial(t *testing.T, s *testkit.Site) *client {
	t.Helper()
	return dialFrom(t, s, nextSource())
}

func dialFrom(t *testing.T, s *testkit.Site, source net.IP) *client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}, Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(t.Context(), "tcp", addressOf(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, site: s, tcp: conn.(*net.TCPConn), source: conn.LocalAddr().String(), began: time.Now()}
	c.over(conn)
	return c
}

func (c *client) over(conn net.Conn) {
	c.conn, c.front = conn, pgproto3.NewFrontend(conn, conn)
}

func (c *client) write(b ...byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// offer writes what the proxy may refuse to read to its end.
func (c *client) offer(b ...byte) { _, _ = c.conn.Write(b) }

// byteFromProxy reads the answer to a request for encryption.
func (c *client) byteFromProxy(want byte) {
	c.t.Helper()
	var b [1]byte
	if _, err := io.ReadFull(c.conn, b[:]); err != nil || b[0] != want {
		c.t.Fatalf("want %q, got %q, %v", want, b[0], err)
	}
}

func (c *client) tlsConfig() *tls.Config {
	c.t.Helper()
	pem, err := os.ReadFile(c.site.CAFile)
	if err != nil {
		c.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// handshake begins TLS on the connection as it stands.
func (c *client) handshake(config *tls.Config) {
	c.t.Helper()
	conn := tls.Client(c.conn, config)
	if err := conn.HandshakeContext(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.over(conn)
}

// startTLS asks for TLS as libpq does.
func (c *client) startTLS() *client {
	c.t.Helper()
	c.write(packet(codeSSL)...)
	c.byteFromProxy('S')
	c.handshake(c.tlsConfig())
	return c
}

func dialTLS(t *testing.T, s *testkit.Site) *client {
	t.Helper()
	return dial(t, s).startTLS()
}

func (c *client) receive() pgproto3.BackendMessage {
	c.t.Helper()
	m, err := c.front.Receive()
	if err != nil {
		c.t.Fatalf("no message: %v", err)
	}
	return m
}

// askedForPassword reads up to the request for a password.
func (c *client) askedForPassword() {
	c.t.Helper()
	for {
		switch m := c.receive().(type) {
		case *pgproto3.NegotiateProtocolVersion:
			c.notes = append(c.notes, pgproto3.NegotiateProtocolVersion{
				NewestMinorProtocol: m.NewestMinorProtocol, UnrecognizedOptions: slices.Clone(m.UnrecognizedOptions),
			})
		case *pgproto3.AuthenticationCleartextPassword:
			return
		default:
			c.t.Fatalf("want a request for the password, got %#v", m)
		}
	}
}

// enter sends a StartupMessage and the password, and waits to be ready.
func (c *client) enter(startup []byte, password string) *client {
	c.t.Helper()
	c.write(startup...)
	c.askedForPassword()
	c.write(message('p', password+"\x00")...)
	for {
		switch m := c.receive().(type) {
		case *pgproto3.BackendKeyData:
			c.pid, c.secret = m.ProcessID, slices.Clone(m.SecretKey)
		case *pgproto3.ReadyForQuery:
			return c
		case *pgproto3.ErrorResponse:
			c.t.Fatalf("no session: %s %s %s", m.Code, m.Message, m.Detail)
		}
	}
}

// lab logs in where everything is allowed.
func lab(t *testing.T, s *testkit.Site) *client {
	t.Helper()
	return dialTLS(t, s).enter(startup("user", "svc-orders", "database", testkit.LabDatabase), testkit.OrdersPassword)
}

// alice logs in as a reader.
func alice(t *testing.T, s *testkit.Site) *client {
	t.Helper()
	return dialTLS(t, s).enter(startup("user", "alice", "database", testkit.OrdersDatabase), testkit.AlicePassword)
}

// complaint reads up to the next ErrorResponse. Of the SQLSTATE its class will do.
func (c *client) complaint(severity, sqlstate, text string) *pgproto3.ErrorResponse {
	c.t.Helper()
	for {
		switch m := c.receive().(type) {
		case *pgproto3.ErrorResponse:
			if m.Severity != severity || m.SeverityUnlocalized != severity || !strings.HasPrefix(m.Code, sqlstate) || !strings.Contains(m.Message, text) {
				c.t.Fatalf("want %s %s %q, got %s %s %q (%s)", severity, sqlstate, text, m.Severity, m.Code, m.Message, m.Detail)
			}
			e := *m
			return &e
		case *pgproto3.ReadyForQuery:
			c.t.Fatalf("want %s %s, got ready for query", severity, sqlstate)
		}
	}
}

// told reads a FATAL error, and then the end of the stream.
func (c *client) told(sqlstate, text string) *pgproto3.ErrorResponse {
	c.t.Helper()
	e := c.complaint("FATAL", sqlstate, text)
	c.ended()
	return e
}

// ended expects the orderly end of the stream: close_notify where TLS is spoken.
func (c *client) ended() {
	c.t.Helper()
	var b [64]byte
	if n := c.front.ReadBufferLen(); n > 0 {
		c.t.Fatalf("%d more bytes came", n)
	}
	if n, err := c.conn.Read(b[:]); n > 0 || !errors.Is(err, io.EOF) {
		c.t.Fatalf("want the end of the stream, got %q, %v", b[:n], err)
	}
}

// silent expects an end without a word. Where the proxy left something unread, a
// reset may take the place of the orderly end.
func (c *client) silent() {
	c.t.Helper()
	var b [64]byte
	n, err := c.conn.Read(b[:])
	if n > 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		c.t.Fatalf("want silence, got %q, %v", b[:n], err)
	}
}

// ready reads up to ReadyForQuery, and returns the transaction's status and the
// first column of each row.
func (c *client) ready() (status byte, rows []string) {
	c.t.Helper()
	for {
		switch m := c.receive().(type) {
		case *pgproto3.DataRow:
			if len(m.Values) > 0 {
				rows = append(rows, string(m.Values[0]))
			}
		case *pgproto3.ReadyForQuery:
			return m.TxStatus, rows
		case *pgproto3.ErrorResponse:
			c.t.Fatalf("%s %s (%s)", m.Code, m.Message, m.Detail)
		}
	}
}

// ask runs a statement that must succeed, and returns its first value.
func (c *client) ask(sql string) string {
	c.t.Helper()
	c.write(query(sql)...)
	if _, rows := c.ready(); len(rows) > 0 {
		return rows[0]
	}
	return ""
}

// alive checks that the session still answers.
func (c *client) alive() {
	c.t.Helper()
	if got := c.ask("SELECT 'alive'"); got != "alive" {
		c.t.Fatalf("the session answers %q", got)
	}
}

// vanish breaks the connection with a reset.
func (c *client) vanish() {
	c.t.Helper()
	if err := errors.Join(c.tcp.SetLinger(0), c.tcp.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// halfClose ends the client's side of the stream.
func (c *client) halfClose() {
	c.t.Helper()
	if t, ok := c.conn.(*tls.Conn); ok {
		if err := t.CloseWrite(); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.tcp.CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// handshakeError tries TLS, and returns how it fails.
func (c *client) handshakeError(config *tls.Config) error {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	conn := tls.Client(c.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	c.over(conn)
	return nil
}
