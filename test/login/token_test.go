package login

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// asked opens a connection that is asked for a ticket, as libpq's with one is.
func asked(t *testing.T, s *testkit.Site) (*tls.Conn, *pgproto3.Frontend) {
	t.Helper()
	raw, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("%s:%d", s.Host, s.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		request pgproto3.FrontendMessage
		answer  byte
	}{{&pgproto3.GSSEncRequest{}, 'N'}, {&pgproto3.SSLRequest{}, 'S'}} {
		b, err := step.request.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		var answer [1]byte
		if _, err := raw.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(raw, answer[:]); err != nil || answer[0] != step.answer {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	conn := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: testkit.ProxyName, MinVersion: tls.VersionTLS13})
	front := pgproto3.NewFrontend(conn, conn)
	front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "alice", "database": "orders"}})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := front.Receive()
	if _, gss := m.(*pgproto3.AuthenticationGSS); !gss || err != nil {
		t.Fatalf("%#v, %v", m, err)
	}
	return conn, front
}

// TestTokens is what may stand in the place of a ticket: one error, and then the
// end. Nobody is asked for anything else.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := site(t)
	message := func(typ byte, size int, body string) []byte {
		return append([]byte{typ, byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, body...)
	}
	whole := func(body string) []byte { return message('p', 4+len(body), body) }
	for _, c := range []struct {
		name   string
		answer []byte
		code   string
		cause  auth.Cause
	}{
		{"a password", whole(testkit.AlicePassword + "\x00"), "28P01", auth.CauseTicketMalformed},
		{"nonsense", whole(strings.Repeat("\x60\xff", 500)), "28P01", auth.CauseTicketMalformed},
		{"64 KB", whole(strings.Repeat("x", 65_530)), "28P01", auth.CauseTicketMalformed},
		{"more than 64 KB", message('p', 65_536, "x"), "28P01", auth.CauseNoTicket},
		{"2 GB claimed", message('p', 1<<31-1, "x"), "28P01", auth.CauseNoTicket},
		{"nothing", message('p', 4, ""), "28P01", auth.CauseNoTicket},
		{"a Query", message('Q', 13, "SELECT 1\x00"), "08P01", auth.CauseNoTicket},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, front := asked(t, s)
			_, _ = conn.Write(c.answer) // which may not be read to its end
			m, err := front.Receive()
			e, refused := m.(*pgproto3.ErrorResponse)
			if err != nil || !refused || e.Code != c.code || e.Severity != "FATAL" {
				t.Fatalf("%#v, %v", m, err)
			}
			if _, err := front.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("after the error: %v", err)
			}
			id := incidents.FindStringSubmatch(e.Detail)
			if id == nil {
				t.Fatalf("no incident: %s", e.Detail)
			}
			r := s.Await(t, "it", func(r *journal.Record) bool { return r.Incident == id[1] })
			if r.Type != audit.Authentication || r.Cause != string(c.cause) || r.Method != string(auth.Kerberos) || r.User != "alice" {
				t.Errorf("recorded as %s %s by %s of %q: %s", r.Type, r.Cause, r.Method, r.User, r.Detail)
			}
			if strings.Contains(r.Detail, testkit.AlicePassword) {
				t.Error("the token is on record")
			}
		})
	}
}
