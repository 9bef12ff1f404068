package hostile

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

var reader = []string{"user", "alice", "database", testkit.OrdersDatabase}

// knock is what a stranger does.
type knock struct {
	name   string
	do     func(c *client)
	cause  string // of its record
	detail string // what that holds
}

var big = make([]byte, 10<<20)

var knocks = []knock{
	{"HTTP", func(c *client) {
		c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")...)
		c.silent()
	}, "no_startup", "invalid length"},
	{"noise", func(c *client) {
		c.write(bytes.Repeat([]byte{0xfe, 0x01, 0x80}, 1000)...)
		c.silent()
	}, "no_startup", "invalid length"},
	{"what looks like TLS", func(c *client) {
		c.offer([]byte("\x16\x03\x01\x00\x05hello")...)
		var alert [7]byte
		if n, _ := c.conn.Read(alert[:]); n > 0 && alert[0] != 0x15 {
			c.t.Errorf("it was answered: %q", alert[:n])
		}
	}, "no_startup", "TLS handshake"},
	{"a packet of 10 MB", func(c *client) {
		c.write(binary.BigEndian.AppendUint32(nil, uint32(len(big)))...)
		c.offer(big[4:]...)
		c.silent()
	}, "no_startup", "invalid length of startup packet: 10485760"},
	{"a packet of 10 MB inside TLS", func(c *client) {
		c.startTLS()
		c.write(binary.BigEndian.AppendUint32(nil, uint32(len(big)))...)
		c.offer(big[4:]...)
		c.silent()
	}, "no_startup", "invalid length"},
	{"a StartupMessage in clear", func(c *client) {
		c.write(startup(reader...)...)
		e := c.told("28000", "encrypted connections only")
		incidentOf(c.t, e.Detail)
	}, "startup_refused", "encrypted connections only"},
	{"a password in clear", func(c *client) {
		c.write(message('p', "in-the-clear\x00")...)
		c.silent()
	}, "no_startup", "invalid length"},
	{"StartupMessage and password in clear", func(c *client) {
		c.write(append(startup(reader...), message('p', "in-the-clear\x00")...)...)
		c.told("28000", "encrypted connections only")
	}, "startup_refused", "encrypted connections only"},
	{"bytes behind SSLRequest", func(c *client) {
		c.write(append(packet(codeSSL), startup(reader...)...)...)
		c.byteFromProxy('S')
		c.handshake(c.tlsConfig())
		c.told("08P01", "received unencrypted data after SSL request")
	}, "startup_refused", "received unencrypted data after SSL request"},
	{"one byte behind SSLRequest", func(c *client) {
		c.write(append(packet(codeSSL), 0)...)
		c.byteFromProxy('S')
		c.handshake(c.tlsConfig())
		c.told("08P01", "received unencrypted data after SSL request")
	}, "startup_refused", "received unencrypted data"},
	{"bytes behind GSSENCRequest", func(c *client) {
		c.write(append(packet(codeGSS), packet(codeSSL)...)...)
		c.told("08P01", "received unencrypted data after GSSAPI encryption request")
	}, "startup_refused", "received unencrypted data after GSSAPI"},
	{"SSLRequest inside TLS", func(c *client) {
		c.startTLS().write(packet(codeSSL)...)
		c.told("0A000", "unsupported frontend protocol 1234.5679")
	}, "startup_refused", "1234.5679"},
	{"GSSENCRequest inside TLS", func(c *client) {
		c.startTLS().write(packet(codeGSS)...)
		c.told("0A000", "unsupported frontend protocol 1234.5680")
	}, "startup_refused", "1234.5680"},
	{"GSSENCRequest twice", func(c *client) {
		c.write(packet(codeGSS)...)
		c.byteFromProxy('N')
		c.write(packet(codeGSS)...)
		c.told("0A000", "unsupported frontend protocol 1234.5680")
	}, "startup_refused", "1234.5680"},
	{"direct TLS without ALPN", func(c *client) {
		if err := c.handshakeError(c.tlsConfig()); err == nil {
			c.offer(startup(reader...)...)
			c.silent()
		}
	}, "no_startup", "direct TLS without ALPN"},
	{"direct TLS with another ALPN", func(c *client) {
		config := c.tlsConfig()
		config.NextProtos = []string{"http/1.1"}
		if err := c.handshakeError(config); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			c.t.Errorf("the handshake ended with %v", err)
		}
	}, "no_startup", "TLS handshake"},
	{"TLS 1.1", func(c *client) {
		config := c.tlsConfig()
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 //nolint:gosec // that is the point
		c.write(packet(codeSSL)...)
		c.byteFromProxy('S')
		if err := c.handshakeError(config); err == nil {
			c.t.Error("TLS 1.1 was agreed on")
		}
	}, "no_startup", "TLS handshake"},
	{"half a packet", func(c *client) {
		c.startTLS()
		c.write(startup(reader...)[:20]...)
		c.halfClose()
		c.silent()
	}, "no_startup", "EOF"},
	{"protocol 4.0", func(c *client) {
		c.startTLS().write(packet(4<<16, startupBody(reader...)...)...)
		c.told("0A000", "unsupported frontend protocol 4.0: server supports 3.0 to 3.2")
	}, "startup_refused", "4.0"},
	{"protocol 2.0", func(c *client) {
		c.startTLS().write(packet(2<<16, make([]byte, 288)...)...)
		var said [256]byte
		n, err := io.ReadAtLeast(c.conn, said[:], len("EFATAL:  unsupported frontend protocol 2.0"))
		if err != nil || !strings.HasPrefix(string(said[:n]), "EFATAL:  unsupported frontend protocol 2.0") {
			c.t.Errorf("it was told %q, %v", said[:n], err)
		}
	}, "startup_refused", "2.0"},
	{"no user", func(c *client) {
		c.startTLS().write(startup("database", "orders")...)
		c.told("28000", "no PostgreSQL user name")
	}, "startup_refused", "no PostgreSQL user name"},
	{"no parameters at all", func(c *client) {
		c.startTLS().write(packet(protocol30)...)
		c.told("08P01", "invalid startup packet layout")
	}, "startup_refused", "layout"},
	{"no terminator", func(c *client) {
		c.startTLS().write(packet(protocol30, []byte("user\x00alice\x00")...)...)
		c.told("08P01", "invalid startup packet layout")
	}, "startup_refused", "layout"},
	{"bytes behind the terminator", func(c *client) {
		c.startTLS().write(packet(protocol30, append(startupBody(reader...), "user\x00bob\x00"...)...)...)
		c.told("08P01", "invalid startup packet layout")
	}, "startup_refused", "layout"},
	{"a NUL that shifts names and values", func(c *client) {
		c.startTLS().write(packet(protocol30, []byte("user\x00al\x00ice\x00database\x00orders\x00\x00")...)...)
		c.told("08P01", "invalid startup packet layout")
	}, "startup_refused", "layout"},
	{"a password instead of a StartupMessage, inside TLS", func(c *client) {
		c.startTLS().write(message('p', "too-early\x00")...)
		c.silent()
	}, "no_startup", "invalid length"},
	{"nothing", func(c *client) {
		c.halfClose()
		c.silent()
	}, "no_startup", "EOF"},
	{"a reset", func(c *client) { c.vanish() }, "no_startup", "reset"},
}

// TestStrangers is what comes before anybody has a name. Each is recorded, with
// the address it came from.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, c := range knocks {
		t.Run(c.name, func(t *testing.T) {
			x := dial(t, s)
			c.do(x)
			r := await(t, s, c.name, from(x.source))
			if r.Type != audit.Connection || r.Decision != audit.Denied || r.Cause != c.cause || !strings.Contains(r.Detail, c.detail) {
				t.Errorf("recorded as %s %s %q: %q", r.Type, r.Decision, r.Cause, r.Detail)
			}
		})
	}
}

// TestStartupLengths is the length of the first packet, in clear and inside TLS.
func TestStartupLengths(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, length := range []uint32{0, 1, 3, 4, 7, 10_005, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		for _, inside := range []bool{false, true} {
			c := dial(t, s)
			if inside {
				c.startTLS()
			}
			c.write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, length), protocol30)...)
			c.silent()
			if r := await(t, s, "the length", from(c.source)); r.Cause != "no_startup" {
				t.Errorf("%d, inside TLS %v: recorded as %s", length, inside, r.Cause)
			}
		}
	}
}

// TestWaysIn is what is unusual and in order.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	bytewise := func(c *client, b []byte) {
		if err := c.tcp.SetNoDelay(true); err != nil {
			t.Fatal(err)
		}
		for i := range b {
			c.write(b[i])
		}
	}
	for name, way := range map[string]func(c *client){
		"SSLRequest byte by byte": func(c *client) {
			bytewise(c, packet(codeSSL))
			c.byteFromProxy('S')
			c.handshake(c.tlsConfig())
			c.enter(startup(reader...), testkit.AlicePassword)
		},
		"StartupMessage byte by byte": func(c *client) {
			c.startTLS()
			bytewise(c, startup(reader...))
			c.askedForPassword()
			bytewise(c, message('p', testkit.AlicePassword+"\x00"))
			c.ready()
		},
		"GSSENCRequest, then SSLRequest": func(c *client) {
			c.write(packet(codeGSS)...)
			c.byteFromProxy('N')
			c.startTLS().enter(startup(reader...), testkit.AlicePassword)
		},
		"direct TLS with ALPN": func(c *client) {
			config := c.tlsConfig()
			config.NextProtos = []string{"postgresql"}
			c.handshake(config)
			c.enter(startup(reader...), testkit.AlicePassword)
		},
		"TLS 1.2": func(c *client) {
			config := c.tlsConfig()
			config.MaxVersion = tls.VersionTLS12
			c.write(packet(codeSSL)...)
			c.byteFromProxy('S')
			c.handshake(config)
			c.enter(startup(reader...), testkit.AlicePassword)
		},
		"everything in one write": func(c *client) {
			c.startTLS()
			c.write(bytes.Join([][]byte{startup(reader...), message('p', testkit.AlicePassword+"\x00"), query("SELECT 'early'")}, nil)...)
			c.askedForPassword()
			c.ready()
			if _, rows := c.ready(); len(rows) != 1 || rows[0] != "early" {
				t.Errorf("the early statement gave %q", rows)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			c.t = t
			way(c)
			c.alive()
			r := await(t, s, "the session", all(from(c.source), ofType(audit.SessionStart)))
			if r.Principal.Account != "alice" || r.Role != "app_ro_orders" || !strings.HasPrefix(r.Source.TLS, "TLS 1.") {
				t.Errorf("recorded as %s as %s over %s", r.Principal.Account, r.Role, r.Source.TLS)
			}
		})
	}
}

func TestProtocolVersions(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, c := range []struct {
		name      string
		version   uint32
		extra     []string
		negotiate string // the version and options of NegotiateProtocolVersion
		secret    int
	}{
		{"3.0", protocol30, nil, "", 4},
		{"3.1", 3<<16 | 1, nil, "0", 4},
		{"3.2", protocol32, nil, "", 32},
		{"3.9999", 3<<16 | 9999, nil, "2", 32},
		{"an option", protocol30, []string{"_pq_.compression", "zstd"}, "0 _pq_.compression", 4},
		{"options, 3.9999", 3<<16 | 9999, []string{"_pq_.a", "1", "_pq_.b", ""}, "2 _pq_.a _pq_.b", 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := dialTLS(t, s)
			x.enter(packet(c.version, startupBody(append(c.extra, reader...)...)...), testkit.AlicePassword)
			got := ""
			for _, n := range x.notes {
				// The library keeps the minor version as it came: the whole number.
				got += string('0'+byte(n.NewestMinorProtocol&0xffff)) + " " + strings.Join(n.UnrecognizedOptions, " ")
			}
			if got = strings.TrimSpace(got); got != c.negotiate {
				t.Errorf("negotiated %q, want %q", got, c.negotiate)
			}
			if len(x.secret) != c.secret {
				t.Errorf("the cancel key has %d bytes", len(x.secret))
			}
			x.alive()
			await(t, s, "the session", all(from(x.source), ofType(audit.SessionStart)))
		})
	}
}

// TestNegotiationOnce counts the messages themselves: one for the client, and
// none of the backend's.
func TestNegotiationOnce(t *testing.T) {
	t.Parallel()
	c := dialTLS(t, site(t))
	c.write(packet(3<<16|9999, startupBody(reader...)...)...)
	c.askedForPassword()
	c.write(message('p', testkit.AlicePassword+"\x00")...)
	for {
		switch c.receive().(type) {
		case *pgproto3.NegotiateProtocolVersion:
			t.Fatal("it was negotiated twice")
		case *pgproto3.ReadyForQuery:
			return
		}
	}
}

// TestProxyProtocol is the header of a balancer, listed or not.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	// Version 2, PROXY, TCP over IPv4, 12 bytes: 127.44.1.2:4321 → 127.0.0.1:5432.
	header := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"), 127, 44, 1, 2, 127, 0, 0, 1, 0x10, 0xe1, 0x15, 0x38)
	local := []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
	balancer := func(last byte) *client { return dialFrom(t, s, []byte{127, 7, 0, last}) }

	t.Run("listed", func(t *testing.T) {
		c := balancer(1)
		c.write(header...)
		c.startTLS().enter(startup(reader...), testkit.AlicePassword)
		r := await(t, s, "the session", all(from("127.44.1.2:4321"), ofType(audit.SessionStart)))
		if r.Source.Via != c.source || r.Principal.Account != "alice" {
			t.Errorf("recorded as %s via %s", r.Principal.Account, r.Source.Via)
		}
	})
	t.Run("listed, a stranger", func(t *testing.T) {
		c := balancer(2)
		c.write(header...)
		c.write(startup(reader...)...)
		c.told("28000", "encrypted connections only")
		await(t, s, "the stranger", all(from("127.44.1.2:4321"), ofType(audit.Connection)))
	})
	t.Run("listed, a health check", func(t *testing.T) {
		c := balancer(3)
		c.write(local...)
		c.startTLS().enter(startup(reader...), testkit.AlicePassword)
		await(t, s, "the session", all(from(c.source), ofType(audit.SessionStart)))
	})
	for i, bad := range []struct {
		name string
		b    []byte
	}{
		{"no header", packet(codeSSL)},
		{"version 1", []byte("PROXY TCP4 127.44.1.2 127.0.0.1 4321 5432\r\n")},
		{"half a header", header[:20]},
		{"a huge one", append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"), make([]byte, 1<<16-1)...)},
	} {
		name, b := bad.name, bad.b
		t.Run("listed, "+name, func(t *testing.T) {
			c := balancer(10 + byte(i))
			c.offer(b...)
			if err := c.tcp.CloseWrite(); err != nil {
				t.Log(err) // it may be closed already
			}
			if name != "a huge one" {
				c.silent()
			}
			r := await(t, s, name, func(r *journal.Record) bool {
				return r.Type == audit.Connection && (r.Source.Address == c.source || r.Source.Via == c.source)
			})
			if r.Cause != "no_startup" {
				t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
			}
		})
	}
	t.Run("unlisted", func(t *testing.T) {
		c := dial(t, s)
		c.write(header...)
		c.silent()
		if r := await(t, s, "it", from(c.source)); r.Cause != "no_startup" || r.Source.Via != "" {
			t.Errorf("recorded as %s via %q", r.Cause, r.Source.Via)
		}
	})
}

// TestLimitPerSource fills the places of one address; another one has its own.
func TestLimitPerSource(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	source := nextSource()
	var held []*client
	for range perSource {
		c := dialFrom(t, s, source)
		c.write(packet(codeSSL)...)
		c.byteFromProxy('S')
		held = append(held, c)
	}
	c := dialFrom(t, s, source)
	c.offer(packet(codeSSL)...)
	c.silent()
	r := await(t, s, "the limit", from(c.source))
	if r.Type != audit.Connection || r.Cause != "limit_per_source" {
		t.Errorf("recorded as %s %s", r.Type, r.Cause)
	}
	dialTLS(t, s).enter(startup(reader...), testkit.AlicePassword).alive()
	// A place that is given back is there again, and who is in holds none.
	held[0].vanish()
	eventually(t, func() error {
		x := dialFrom(t, s, source)
		x.offer(packet(codeSSL)...)
		var b [1]byte
		if _, err := x.conn.Read(b[:]); err != nil {
			return err
		}
		x.handshake(x.tlsConfig())
		x.enter(startup(reader...), testkit.AlicePassword)
		return nil
	})
	dialFrom(t, s, source).startTLS().enter(startup(reader...), testkit.AlicePassword).alive()
}

// TestRefusalsAreFolded is log-ins that are refused before anybody has looked at a password:
// of one address some are recorded each by itself, and the others with their count.
func TestRefusalsAreFolded(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	const times, most, period = 40, 10, 10 * time.Second
	for cause, refused := range map[string]func(c *client){
		"malformed_name": func(c *client) {
			c.answer(startup("user", "ali\nce", "database", testkit.OrdersDatabase), passwordMessage("x")...).told("28P01", "")
		},
		"no_such_account": func(c *client) {
			c.answer(startup("user", `ELSEWHERE\alice`, "database", testkit.OrdersDatabase), passwordMessage("x")...).told("28P01", "")
		},
		"locked_out": func(c *client) {
			c.answer(startup("user", "grace", "database", testkit.OrdersDatabase), passwordMessage("x")...).told("28P01", "")
		},
		"empty_password": func(c *client) { c.answer(startup(reader...), passwordMessage("")...).told("28P01", "") },
		"method_not_allowed": func(c *client) {
			c.write(startup(append(reader, "options", "-c pgcustos.auth="+strings.Repeat("x", 9000))...)...)
			c.told("28000", "there is no authentication method")
		},
		"no_password_given": func(c *client) { c.answer(startup(reader...), query("SELECT 1")...).told("08P01", "") },
	} {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			source, began := nextSource(), time.Now()
			for range times {
				c := dialFrom(t, s, source)
				c.t = t
				refused(c.startTLS())
			}
			limit := most * (2 + int(time.Since(began)/period))
			eventually(t, func() error {
				found, err := records(s, func(r *journal.Record) bool { return strings.HasPrefix(r.Source.Address, source.String()+":") })
				if err != nil {
					return err
				}
				var sum uint64
				alone := 0
				for i := range found {
					sum += max(1, found[i].Count)
					if found[i].Type == audit.Authentication {
						alone++
					}
					if found[i].Cause != cause || found[i].Decision != audit.Denied {
						t.Errorf("recorded as %s %s", found[i].Decision, found[i].Cause)
					}
				}
				if sum != times {
					return fmt.Errorf("%d records tell of %d refusals", len(found), sum)
				}
				if alone > limit {
					t.Errorf("%d of %d are on record each by itself", alone, times)
				}
				return nil
			})
		})
	}
}

// TestFolding is a stranger that comes again and again: the first is recorded at
// once, the others together with their count.
func TestFolding(t *testing.T) {
	t.Parallel()
	s := site(t)
	source := nextSource()
	const times = 5
	var first string
	for i := range times {
		c := dialFrom(t, s, source)
		if i == 0 {
			first = c.source
		}
		c.write([]byte("GET / HTTP/1.0\r\n\r\n")...)
		c.silent()
	}
	await(t, s, "the first", from(first))
	ip := source.String() + ":"
	eventually(t, func() error {
		found, err := records(s, func(r *journal.Record) bool { return strings.HasPrefix(r.Source.Address, ip) })
		if err != nil {
			return err
		}
		n := uint64(0)
		for i := range found {
			n += max(1, found[i].Count)
		}
		if n != times || len(found) > 3 {
			return fmt.Errorf("%d records tell of %d connections", len(found), n)
		}
		return nil
	})
}
