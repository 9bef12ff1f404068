package backend

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// withPassword is a backend whose role "reads" has the password that p holds.
func withPassword(t *testing.T, server *testkit.Postgres, p *string) *Backend {
	t.Helper()
	b, err := Open(Options{
		Name: "test", Hosts: []Host{{server.Host, server.Port}}, ConnectTimeout: 20 * time.Second,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: server.CA.Pool(), SessionTicketsDisabled: true},
		Credentials: map[string]Credential{
			"reads": Password(func() (*auth.Secret, error) { return auth.NewSecret([]byte(*p)), nil }),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func login(t *testing.T, b *Backend) error {
	t.Helper()
	conn, err := b.Connect(t.Context(), Login{Role: "reads", Database: "postgres"})
	if err != nil {
		return err
	}
	if said := ask(t, conn, "SELECT current_user"); !strings.Contains(said, "reads") {
		t.Errorf("logged in as %q", said)
	}
	return conn.Close()
}

// Whatever PostgreSQL takes for a password logs in, the second time with the keys
// of the first; another one does not, and a new one does as soon as both know it.
func TestPasswords(t *testing.T) {
	server := testkit.NewPostgres(t, testkit.PostgresOptions{})
	if err := server.Exec(t.Context(), "postgres", "CREATE ROLE reads LOGIN PASSWORD 'first'"); err != nil {
		t.Fatal(err)
	}
	var password string
	b := withPassword(t, server, &password)
	for _, p := range []string{
		"second", "with spaces, = and ,", "Stra\u00dfe", "I\u00adX", "\u2168", "a\u00a0b", "\u01fb", "A\u030a", "\U0001f511", "\u0221", "x\u1d2c", "\u0627\u0031", "tab\there", strings.Repeat("long", 200),
	} {
		password = "another"
		var failure *Failure
		if err := login(t, b); !errors.As(err, &failure) || failure.Told.Code != "08004" || !strings.Contains(err.Error(), "28P01") {
			t.Errorf("%q: with another password: %v", p, err)
		}
		if err := server.Exec(t.Context(), "postgres", fmt.Sprintf("ALTER ROLE reads PASSWORD '%s'", p)); err != nil {
			t.Fatal(err)
		}
		password = p
		for range 2 {
			if err := login(t, b); err != nil {
				t.Errorf("%q: %v", p, err)
			}
		}
	}
}

// A server that lets the role in for nothing, or wants to see its password, is no
// server of ours.
func TestOtherWaysIn(t *testing.T) {
	server := testkit.NewPostgres(t, testkit.PostgresOptions{Config: []string{"password_encryption = md5"}})
	if err := server.Exec(t.Context(), "postgres", "CREATE ROLE reads LOGIN PASSWORD 'secret'"); err != nil {
		t.Fatal(err)
	}
	password := "secret"
	b := withPassword(t, server, &password)
	for _, method := range []string{"trust", "password", "md5"} {
		if err := server.SetAccess(t.Context(), testkit.Access{HBA: []string{"hostssl all all 127.0.0.1/32 " + method}}); err != nil {
			t.Fatal(err)
		}
		if err := login(t, b); !errors.Is(err, errNotAsked) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// forger speaks the server's side of a log-in, and lies where a test says.
type forger struct {
	net.Conn
	t *testing.T
}

func (f *forger) ask(m interface{ Encode([]byte) ([]byte, error) }) {
	b, err := m.Encode(nil)
	if err == nil {
		_, err = f.Write(b)
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		f.t.Error(err)
	}
}

// hear returns what the proof says in SASL.
func (f *forger) hear() string {
	var head [pgwire.HeaderSize]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return ""
	}
	body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	if _, err := io.ReadFull(f, body); err != nil {
		return ""
	}
	if _, initial, ok := bytes.Cut(body, []byte{0}); ok {
		return string(initial[4:])
	}
	return string(body)
}

func TestForgedServers(t *testing.T) {
	knowing := func(password string) *scram.ServerConversation {
		c, err := scram.SHA256.NewClient("", password, "")
		if err != nil {
			t.Fatal(err)
		}
		stored, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
		if err != nil {
			t.Fatal(err)
		}
		s, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
		if err != nil {
			t.Fatal(err)
		}
		return s.NewConversation()
	}
	ok, sasl := &pgproto3.AuthenticationOk{}, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{scramSHA256}}
	honest := func(f *forger, final bool) {
		s := knowing("secret")
		f.ask(sasl)
		said, err := s.Step(f.hear())
		if err != nil {
			t.Error(err)
		}
		f.ask(&pgproto3.AuthenticationSASLContinue{Data: []byte(said)})
		if said, err = s.Step(f.hear()); err != nil {
			t.Error(err)
		}
		if final {
			f.ask(&pgproto3.AuthenticationSASLFinal{Data: []byte(said)})
		}
		f.ask(ok)
	}
	for name, c := range map[string]struct {
		play func(f *forger)
		want string // in the error; empty where the log-in is good
	}{
		"honest":              {func(f *forger) { honest(f, true) }, ""},
		"lets everybody in":   {func(f *forger) { f.ask(ok) }, errNotAsked.Error()},
		"proves nothing":      {func(f *forger) { honest(f, false) }, errNotAsked.Error()},
		"other mechanisms":    {func(f *forger) { f.ask(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"PLAIN"}}) }, errNotAsked.Error()},
		"binds without TLS":   {func(f *forger) { f.ask(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{scramSHA256Plus}}) }, errNotAsked.Error()},
		"continues nothing":   {func(f *forger) { f.ask(&pgproto3.AuthenticationSASLContinue{Data: []byte("r=x,s=c2FsdA==,i=1")}) }, errNotAsked.Error()},
		"ends nothing":        {func(f *forger) { f.ask(&pgproto3.AuthenticationSASLFinal{Data: []byte("v=eA==")}) }, errNotAsked.Error()},
		"asks in clear":       {func(f *forger) { f.ask(&pgproto3.AuthenticationCleartextPassword{}) }, errNotAsked.Error()},
		"begins twice":        {func(f *forger) { f.ask(sasl); f.hear(); f.ask(sasl) }, errLoginMessage.Error()},
		"wrong signature":     {func(f *forger) { forge(f, sasl, "v=eA==") }, "did not prove"},
		"an error instead":    {func(f *forger) { forge(f, sasl, "e=other-error") }, "did not prove"},
		"too many iterations": {func(f *forger) { challenge(f, sasl, "r=%sx,s=c2FsdA==,i=2147483647") }, "are the most"},
		"another's nonce":     {func(f *forger) { challenge(f, sasl, "r=other%s,s=c2FsdA==,i=1") }, "nonce"},
		"an endless question": {func(f *forger) { _, _ = f.Write([]byte("R\x00\x0f\xff\xff\x00\x00\x00\x0a")) }, errLoginMessage.Error()},
		"a short question":    {func(f *forger) { _, _ = f.Write([]byte("R\x00\x00\x00\x05\x00")) }, errLoginMessage.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			var keys scramKeys
			client, err := keys.of("secret")
			if err != nil {
				t.Fatal(err)
			}
			g := newGate(near)
			g.proof = &proof{client: client}
			over := make(chan struct{})
			go func() {
				defer close(over)
				c.play(&forger{far, t})
			}()
			got := make([]byte, 9)
			_, err = io.ReadFull(g, got)
			switch {
			case c.want == "" && (err != nil || string(got) != "R\x00\x00\x00\x08\x00\x00\x00\x00"):
				t.Errorf("read %q: %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("read %q: %v, want %q", got, err, c.want)
			}
			_, _ = near.Close(), far.Close()
			<-over
		})
	}
}

// challenge asks for keys in a way of its own; format takes the client's nonce.
func challenge(f *forger, sasl *pgproto3.AuthenticationSASL, format string) {
	f.ask(sasl)
	_, nonce, _ := strings.Cut(f.hear(), "r=")
	f.ask(&pgproto3.AuthenticationSASLContinue{Data: fmt.Appendf(nil, format, nonce)})
}

// forge ends a log-in by a signature of its own.
func forge(f *forger, sasl *pgproto3.AuthenticationSASL, final string) {
	challenge(f, sasl, "r=%sx,s=c2FsdA==,i=1")
	f.hear()
	f.ask(&pgproto3.AuthenticationSASLFinal{Data: []byte(final)})
}

// Keys are kept for one password, and not for ever.
func TestScramKeysAreKept(t *testing.T) {
	var keys scramKeys
	of := func(password string) *scram.Client {
		c, err := keys.of(password)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := of("one")
	if of("one") != first || of("two") == first || of("one") == first {
		t.Error("keys are not kept by the password")
	}
	last := of("one")
	for range mostUses {
		of("one")
	}
	if of("one") == last {
		t.Error("keys are kept for ever")
	}
}
