package hostile

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// noBackend logs in where the backend is at fault, and checks what is told and
// what is recorded.
func noBackend(t *testing.T, s *testkit.Site, database, sqlstate, text, detail string) {
	t.Helper()
	c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", database), passwordMessage(testkit.OrdersPassword)...)
	e := c.told(sqlstate, text)
	if all := e.Message + e.Detail + e.Hint; strings.Contains(all, "127.") || strings.Contains(all, "password") || strings.Contains(all, "forged") {
		t.Errorf("the client is told too much: %s", all)
	}
	r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
	if r.Type != audit.Authorization || r.Decision != audit.Unavailable || r.Cause != "backend" || r.Backend != database || !strings.Contains(r.Detail, detail) {
		t.Errorf("recorded as %s %s %s of %s: %s", r.Type, r.Decision, r.Cause, r.Backend, r.Detail)
	}
}

// TestBackendFaults is backends that are not there, not who they should be, or
// do not let the role in.
func TestBackendFaults(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	t.Run("nobody listens", func(t *testing.T) {
		noBackend(t, s, dbAbsent, "08006", "cannot be reached", "refused")
	})
	t.Run("certificate of another authority", func(t *testing.T) {
		noBackend(t, s, dbUntrusted, "08006", "cannot be reached", "certificate")
	})
	t.Run("wrong password", func(t *testing.T) {
		noBackend(t, s, dbWrongSecret, "08004", "refused the session", "password authentication failed")
	})
}

// fake is a server that says what a real one would not.
type fake struct {
	listener net.Listener
	work     sync.WaitGroup
	mu       sync.Mutex
	heard    bytes.Buffer // what came behind the StartupMessage
}

func newFake(t *testing.T, script func(f *fake, conn net.Conn) error) *fake {
	t.Helper()
	l, err := net.Listen("tcp", fakeBackend)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{listener: l}
	f.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if err := script(f, conn); err != nil && !errors.Is(err, io.EOF) {
				f.note([]byte("error: " + err.Error()))
			}
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.work.Wait()
	})
	return f
}

func (f *fake) note(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard.Write(b)
}

func (f *fake) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard.String()
}

// forged are the answers of a log-in that never happened.
var forged = bytes.Join([][]byte{
	message('E', "SFATAL\x00VFATAL\x00C28000\x00Mforged\x00\x00"),
	message('R', "\x00\x00\x00\x00"), message('K', "\x00\x00\x00\x01\x00\x00\x00\x01"), message('Z', "I"),
}, nil)

// secure answers an SSLRequest, reads the StartupMessage, and sends an answer.
func secure(certificate tls.Certificate, answer []byte) func(*fake, net.Conn) error {
	return func(f *fake, conn net.Conn) error {
		if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte{'S'}); err != nil {
			return err
		}
		x := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
		var head [4]byte
		if _, err := io.ReadFull(x, head[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(x, make([]byte, binary.BigEndian.Uint32(head[:])-4)); err != nil {
			return err
		}
		if _, err := x.Write(answer); err != nil {
			return err
		}
		heard, err := io.ReadAll(x)
		f.note(heard)
		return err
	}
}

// TestForgedBackend is a server that lies: bytes behind its 'S', no TLS, a
// log-in without proof, a wish for the password in clear, a message of 2 GB.
func TestForgedBackend(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	host, _, err := net.SplitHostPort(fakeBackend)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := s.Postgres.CA.Issue(testkit.Leaf{CommonName: host, Addresses: []netip.Addr{netip.MustParseAddr(host)}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Postgres.CA.Issue(testkit.Leaf{CommonName: "elsewhere.example.com", Names: []string{"elsewhere.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	clear := func(answer []byte) func(*fake, net.Conn) error {
		return func(f *fake, conn net.Conn) error {
			if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
				return err
			}
			if _, err := conn.Write(answer); err != nil {
				return err
			}
			heard, err := io.ReadAll(conn)
			f.note(heard)
			return err
		}
	}
	for _, c := range []struct {
		name   string
		script func(*fake, net.Conn) error
	}{
		{"bytes behind S", clear(append([]byte{'S'}, forged...))},
		{"no TLS", clear([]byte{'N'})},
		{"an error in the place of S", clear(forged)},
		{"a certificate for another host", secure(other.TLS, forged)},
		{"a log-in without proof", secure(certificate.TLS, forged[bytes.IndexByte(forged, 'R'):])},
		{"a wish for the password in clear", secure(certificate.TLS, message('R', "\x00\x00\x00\x03"))},
		{"a wish for the password as MD5", secure(certificate.TLS, message('R', "\x00\x00\x00\x05salt"))},
		{"a message of 2 GB", secure(certificate.TLS, frame('R', 1<<31-1, "\x00\x00\x00\x0a"))},
		{"a message of no length", secure(certificate.TLS, frame('R', 0, "\x00\x00\x00\x0a"))},
		{"an error without fields", secure(certificate.TLS, message('E', "\x00"))},
		{"noise", secure(certificate.TLS, bytes.Repeat([]byte{0xff}, 10_000))},
		{"nothing", secure(certificate.TLS, nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, c.script)
			if c.name == "nothing" {
				// Here it is for the time limit of the log-in to end it.
				c := dialTLS(t, s).answer(startup("user", "svc-orders", "database", dbStuffing), passwordMessage(testkit.OrdersPassword)...)
				c.told("08006", "cannot be reached")
				return
			}
			x := dialTLS(t, s).answer(startup("user", "svc-orders", "database", dbStuffing), passwordMessage(testkit.OrdersPassword)...)
			e := x.complaint("FATAL", "08", "the database server")
			x.ended()
			if strings.Contains(e.Message+e.Detail+e.Hint, "forged") {
				t.Errorf("the client heard the forged answer: %s", e.Message)
			}
			r := await(t, s, c.name, withIncident(incidentOf(t, e.Detail)))
			if r.Cause != "backend" || r.Backend != dbStuffing {
				t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
			}
			if heard := f.said(); strings.Contains(heard, "lab-2024") {
				t.Errorf("the server heard the password: %q", heard)
			}
		})
	}
}

// TestBackendTerminated ends a session at the backend: the client gets the
// server's own last words, once.
func TestBackendTerminated(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, sql := range []string{"", "SELECT pg_sleep(300) /* terminated */"} {
		c := lab(t, s)
		pid := c.session().BackendPID
		if sql != "" {
			c.write(query(sql)...)
			running(t, s, "terminated", true)
		}
		asSuperuser(t, s, "postgres", fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid))
		c.told("57P01", "terminating connection due to administrator command")
		if r := c.end(); r.Cause != "backend_closed" {
			t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
		}
		if sql == "" {
			continue
		}
		if o := c.outcome(c.statement(sql)); o.Result != audit.Failed || o.SQLSTATE != "57P01" {
			t.Errorf("the outcome is %s %s", o.Result, o.SQLSTATE)
		}
	}
}
