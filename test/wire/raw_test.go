package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// The scripts of testdata/raw speak from the first byte of the connection on: to
// the proxy, and to PostgreSQL, which asks whoever comes from directSource for the
// password in clear too, so that log-ins are the same.
const directSource = "127.0.0.2"

// rawEnd is who a raw script is played to, and what stands for ${user} and
// ${password} there.
type rawEnd struct {
	name, address, source string
	user, password        string
	tls                   *tls.Config
	piece                 int
}

func rawEnds(t *testing.T, site *testkit.Site) (direct rawEnd, proxied []rawEnd) {
	t.Helper()
	trust := func(file string) *tls.Config {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		return &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	}
	direct = rawEnd{
		name: "direct", address: net.JoinHostPort(site.Postgres.Host, fmt.Sprint(site.Postgres.Port)), source: directSource,
		user: testkit.LabRole, password: testkit.LabPassword, tls: trust(site.Postgres.CAFile),
	}
	p := rawEnd{
		name: "proxied", address: net.JoinHostPort(site.Host, fmt.Sprint(site.Port)), source: site.Host,
		user: "svc-orders", password: testkit.OrdersPassword, tls: trust(site.CAFile),
	}
	split := p
	split.name, split.piece = "split1", 1
	return direct, []rawEnd{p, split}
}

// TestRawScripts plays the scripts of testdata/raw to both ends.
func TestRawScripts(t *testing.T) {
	site := testkit.SharedSite(t)
	letInWithPassword(t, site)
	direct, proxied := rawEnds(t, site)
	for _, s := range readScripts(t, "raw") {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := s.speak(t, &direct)
			for i := range proxied {
				if s.header.timed && proxied[i].piece > 0 {
					continue
				}
				got := s.speak(t, &proxied[i])
				compareRaw(t, s, proxied[i].name, want, got)
			}
		})
	}
}

// TestRawMask: the position in the log that IDENTIFY_SYSTEM tells moves whenever the
// server writes, and is no difference.
func TestRawMask(t *testing.T) {
	site := testkit.SharedSite(t)
	letInWithPassword(t, site)
	direct, proxied := rawEnds(t, site)
	for _, s := range readScripts(t, "raw") {
		if s.name != "replication-on" {
			continue
		}
		want := s.speak(t, &direct)
		if err := site.Postgres.Exec(t.Context(), "postgres", "SELECT pg_switch_wal()"); err != nil {
			t.Fatal(err)
		}
		compareRaw(t, s, proxied[0].name, want, s.speak(t, &proxied[0]))
		return
	}
	t.Fatal("there is no script replication-on")
}

// letInWithPassword has PostgreSQL ask for passwords in clear, of one address.
func letInWithPassword(t *testing.T, site *testkit.Site) {
	t.Helper()
	err := site.Postgres.SetAccess(t.Context(), testkit.Access{
		HBA: []string{
			"hostssl all,replication all " + directSource + "/32 password",
			"hostssl all,replication all 127.0.0.1/32 scram-sha-256",
		},
		ClientCA: site.Postgres.CA.PEM,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func compareRaw(t *testing.T, s *script, mode string, want, got []string) {
	t.Helper()
	if d, ok := designed[s.name]; ok {
		if slices.Equal(want, got) {
			t.Errorf("%s is like direct now, the table of differences says that it is not", mode)
		}
		want = d.proxied
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s differs from direct:\n%s", mode, diff(want, got))
	}
}

// speech is one play of a raw script.
type speech struct {
	tb     testing.TB
	script *script
	end    *rawEnd
	tcp    *net.TCPConn
	conn   net.Conn
	queue  []byte
	frames []frame // read and not heard
	tail   []byte  // bytes that are no whole frame
	lines  []string
	over   bool
}

// speak plays a raw script, and returns what was heard, line by line.
func (s *script) speak(tb testing.TB, end *rawEnd) []string {
	tb.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(end.source), 0))}
	conn, err := dialer.DialContext(tb.Context(), "tcp", end.address)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	p := &speech{tb: tb, script: s, end: end, tcp: conn.(*net.TCPConn), conn: conn}
	for i := range s.steps {
		p.step(&s.steps[i])
	}
	return p.lines
}

func (p *speech) step(s *step) {
	if s.kind == emit {
		data := s.data
		if s.build != nil {
			data = s.build(p.expand)
		}
		p.queue = append(p.queue, data...)
		return
	}
	p.flush()
	switch s.kind {
	case send:
	case until:
		for n := s.n; n > 0 && !p.over; {
			if p.next() == s.text[0] {
				n--
			}
		}
	case untilClose:
		for !p.over {
			p.next()
		}
	case leave:
		if c, ok := p.conn.(*tls.Conn); ok {
			_ = c.CloseWrite()
		}
		_ = p.tcp.CloseWrite()
	case oneByte:
		var b [1]byte
		if _, err := io.ReadFull(p.conn, b[:]); err != nil {
			p.closed(err)
			return
		}
		p.hear("%q", b[0])
	case handshake:
		p.handshake(s.text)
	default:
		p.tb.Fatalf("line %d: not in a raw script", s.line)
	}
}

func (p *speech) expand(text string) string {
	return strings.NewReplacer("${user}", p.end.user, "${password}", p.end.password).Replace(text)
}

func (p *speech) hear(format string, values ...any) {
	p.lines = append(p.lines, fmt.Sprintf(format, values...))
}

// flush writes the queue. A server that has closed already is no fault.
func (p *speech) flush() {
	piece := p.end.piece
	if piece == 0 {
		piece = max(1, len(p.queue))
	}
	for chunk := range slices.Chunk(p.queue, piece) {
		if _, err := p.conn.Write(chunk); err != nil {
			break
		}
	}
	p.queue = nil
}

// handshake begins TLS, offering an ALPN protocol where one is named.
func (p *speech) handshake(alpn string) {
	config := p.end.tls.Clone()
	if alpn != "" {
		config.NextProtos = []string{alpn}
	}
	c := tls.Client(p.conn, config)
	ctx, stop := context.WithTimeout(p.tb.Context(), patience)
	defer stop()
	if err := c.HandshakeContext(ctx); err != nil {
		p.hear("no TLS")
		p.over = true
		return
	}
	p.conn = c
	p.hear("TLS%s", strings.TrimRight(" "+c.ConnectionState().NegotiatedProtocol, " "))
}

// next hears one message, and returns its type; 0 at the end.
func (p *speech) next() byte {
	buf := make([]byte, 16<<10)
	for len(p.frames) == 0 {
		n, err := p.conn.Read(buf)
		p.frames, p.tail = cut(append(p.tail, buf[:n]...))
		if n == 0 && err != nil {
			p.closed(err)
			return 0
		}
	}
	f := p.frames[0]
	p.frames = p.frames[1:]
	if f.typ != pgwire.ParameterStatus || !p.script.header.mask["parameters"] {
		p.hear("%s", f.raw(p.script.header.mask))
	}
	return f.typ
}

// closed hears the end. Whether that is a reset depends on what was left unread.
func (p *speech) closed(err error) {
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		p.tb.Fatalf("%s: nothing came; so far:\n%s", p.end.name, strings.Join(p.lines, "\n"))
	}
	if len(p.tail) > 0 {
		p.hear("cut off: %s", short(p.tail))
	}
	p.over = true
	p.hear("closed")
}

// raw says what a message of the log-in is, without what no two runs have in common.
// Of an error that is severity, SQLSTATE and message, for the rest of PostgreSQL's
// names its source.
func (f frame) raw(mask map[string]bool) string {
	switch f.typ {
	case pgwire.Authentication:
		return fmt.Sprintf("Authentication %d", binary.BigEndian.Uint32(f.body))
	case pgwire.BackendKeyData:
		return fmt.Sprintf("BackendKeyData of %d bytes", len(f.body))
	case pgwire.NegotiateVersion:
		return fmt.Sprintf("NegotiateProtocolVersion %q", f.body)
	case pgwire.ErrorResponse, pgwire.NoticeResponse:
		text := ""
		for b := f.body; len(b) > 1; {
			value, rest, _ := pgwire.CString(b[1:])
			if strings.IndexByte("SVC", b[0]) >= 0 || b[0] == 'M' && !mask["message"] {
				text += fmt.Sprintf(" %c=%s", b[0], value)
			}
			b = rest
		}
		return typeNames[f.typ] + text
	case pgwire.ParameterStatus:
		name, rest, _ := bytes.Cut(f.body, []byte{0})
		value, _, _ := bytes.Cut(rest, []byte{0})
		if string(name) == "application_name" {
			value = []byte("*") // has the principal in front
		}
		return fmt.Sprintf("ParameterStatus %s=%s", name, value)
	default:
		return f.masked(mask).String()
	}
}

// rawMessages encode what only raw scripts send: what is in it depends on the end.
var rawMessages = map[string]func(*args) (builder, error){
	"SSLRequest":    func(*args) (builder, error) { return packetOf(80877103, ""), nil },
	"GSSENCRequest": func(*args) (builder, error) { return packetOf(80877104, ""), nil },
	// Packet has any code, MAJOR.MINOR, and any body.
	"Packet": func(a *args) (builder, error) {
		code := a.version()
		return packetOf(code, a.str()), nil
	},
	// Startup has names and values, and the terminator.
	"Startup": func(a *args) (builder, error) {
		code := a.version()
		var body strings.Builder
		for len(a.words) > 0 && a.err == nil {
			body.WriteString(a.str() + "\x00")
		}
		return packetOf(code, body.String()+"\x00"), nil
	},
	"Password": func(a *args) (builder, error) {
		text := a.str()
		return func(expand func(string) string) []byte {
			return pgwire.AppendMessage(nil, pgwire.Password, []byte(expand(text)), []byte{0})
		}, nil
	},
	"CancelRequest": func(a *args) (builder, error) {
		pid := binary.BigEndian.AppendUint32(nil, uint32(a.number()))
		return packetOf(80877102, string(pid)+a.str()), nil
	},
}

// builder makes the bytes of a message, with expand for ${user} and ${password}.
type builder func(expand func(string) string) []byte

func packetOf(code uint32, body string) builder {
	return func(expand func(string) string) []byte {
		text := body
		if expand != nil {
			text = expand(body)
		}
		b := binary.BigEndian.AppendUint32(nil, uint32(8+len(text)))
		return append(binary.BigEndian.AppendUint32(b, code), text...)
	}
}

// version takes a protocol's version, 3.0.
func (a *args) version() uint32 {
	major, minor, _ := strings.Cut(a.word(), ".")
	m, err := strconv.ParseUint(major, 10, 16)
	n, err2 := strconv.ParseUint(minor, 10, 16)
	if err = errors.Join(err, err2); err != nil {
		a.fail("%v", err)
	}
	return uint32(m)<<16 | uint32(n)
}
