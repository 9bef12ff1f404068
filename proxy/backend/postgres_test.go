package backend

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// admit lets the authorities' certificates in, as backend add tells operators to.
func admit(t *testing.T, p *testkit.Postgres, authorities ...*Authority) {
	t.Helper()
	var list []byte
	for _, a := range authorities {
		list = append(list, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})...)
	}
	err := p.SetAccess(t.Context(), testkit.Access{
		HBA:   []string{"hostssl all all 127.0.0.1/32 cert map=pgcustos clientname=DN"},
		Ident: []string{IdentPattern}, ClientCA: list,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, p *testkit.Postgres, a *Authority) *Backend {
	t.Helper()
	b, err := Open(Options{
		Name: "test", Hosts: []Host{{p.Host, p.Port}}, ConnectTimeout: 20 * time.Second, Authority: a,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.CA.Pool(), SessionTicketsDisabled: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask sends a Query over a connection and returns all that is answered, up to
// ReadyForQuery.
func ask(t *testing.T, c *Conn, sql string) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(pgwire.AppendMessage(nil, pgwire.Query, append([]byte(sql), 0))); err != nil {
		t.Fatal(err)
	}
	return answer(t, c)
}

func answer(t *testing.T, c *Conn) string {
	t.Helper()
	var all bytes.Buffer
	for {
		var head [pgwire.HeaderSize]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			t.Fatal(err)
		}
		typ, size, _ := pgwire.Header(head[:])
		if _, err := io.CopyN(&all, c, int64(size)-pgwire.HeaderSize); err != nil {
			t.Fatal(err)
		}
		if typ == pgwire.ReadyForQuery {
			return all.String()
		}
	}
}

// Each principal, however it is called, is who it is at the server, in the role that
// it was signed for, and in no other.
func TestCertificateLogsIn(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	if err := p.Exec(t.Context(), "postgres", "CREATE ROLE reads LOGIN; CREATE ROLE dba_admin LOGIN SUPERUSER"); err != nil {
		t.Fatal(err)
	}
	a, _ := newAuthority(t, "reads")
	admit(t, p, a)
	b := open(t, p, a)
	const whoami = "SELECT session_user || ' as ' || client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
	for _, name := range append([]string{"alice@corp.example.com"}, hostileNames...) {
		conn, err := b.Connect(t.Context(), Login{Role: "reads", Database: "postgres", Principal: name, Signing: unheard})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		cn, err := CommonName(name)
		if err != nil {
			t.Fatal(err)
		}
		if said := ask(t, conn, whoami); !strings.Contains(said, "reads as /O=pgcustos/OU=reads/CN="+cn[:min(len(cn), 30)]) {
			t.Errorf("%q: %s", name, said)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		certificate, err := b.certificates.get(&Login{Role: "reads", Principal: name})
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"dba_admin", "postgres"} {
			if err := direct(t, p, certificate, other); sqlstateOf(err) != "28000" {
				t.Errorf("%q as %s: %v", name, other, err)
			}
		}
	}
	if err := direct(t, p, nil, "reads"); sqlstateOf(err) != "28000" {
		t.Errorf("without a certificate: %v", err)
	}
}

// direct logs in past the proxy, with a certificate.
func direct(t *testing.T, p *testkit.Postgres, certificate *tls.Certificate, role string) error {
	t.Helper()
	c, err := pgconn.ParseConfig(p.DSN(role, "", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if certificate != nil {
		c.TLSConfig.Certificates = []tls.Certificate{*certificate}
	}
	conn, err := pgconn.ConnectConfig(t.Context(), c)
	if err == nil {
		err = conn.Close(t.Context())
	}
	return err
}

func sqlstateOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// An authority is replaced while both are in force at the server: nobody is refused
// in between. Sessions outlive the certificate that they began with, and can be
// cancelled when it is worth nothing any more.
func TestAuthorityIsReplaced(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	if err := p.Exec(t.Context(), "postgres", "CREATE ROLE reads LOGIN"); err != nil {
		t.Fatal(err)
	}
	before, _ := newAuthority(t, "reads")
	after, _ := newAuthority(t, "reads")
	login := Login{Role: "reads", Database: "postgres", Principal: "alice@corp", Signing: unheard}
	connect := func(a *Authority) (*Conn, error) { return open(t, p, a).Connect(t.Context(), login) }
	admit(t, p, before)
	session, err := connect(before)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close() //nolint:errcheck // the cluster goes, too
	if _, err := connect(after); err == nil {
		t.Error("a stranger's certificate logs in")
	}
	admit(t, p, before, after)
	for _, a := range []*Authority{before, after} {
		conn, err := connect(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	admit(t, p, after)
	if _, err := connect(before); err == nil {
		t.Error("the old authority's certificate logs in")
	}
	if _, err := session.Write(pgwire.AppendMessage(nil, pgwire.Query, []byte("SELECT pg_sleep(600)\x00"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = testkit.WaitFor(ctx, func() error {
		runs, err := p.Value(ctx, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reads' AND state = 'active'")
		if err == nil && runs != "1" {
			err = errors.New("the statement does not run yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := session.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if said := answer(t, session); !strings.Contains(said, "57014") {
		t.Errorf("%q", said)
	}
}

// An authority signs no other authorities.
func TestAuthorityHasNoOffspring(t *testing.T) {
	a, _ := newAuthority(t, "reads")
	if !a.Certificate.IsCA || !a.Certificate.MaxPathLenZero || a.Certificate.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("%+v", a.Certificate)
	}
}

// What a trigger on log-in says is for the client: why it refuses, and what it notes.
func TestLoginTrigger(t *testing.T) {
	bin, err := testkit.EmbeddedPostgres(t.Context(), 18)
	if err != nil {
		t.Fatal(err)
	}
	p := testkit.NewPostgres(t, testkit.PostgresOptions{Bin: bin})
	if err := p.Exec(t.Context(), "postgres", `CREATE ROLE reads LOGIN; CREATE ROLE late LOGIN;
		CREATE FUNCTION hours() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
			IF session_user = 'late' THEN RAISE 'come back in the morning' USING HINT = 'at eight'; END IF;
			RAISE NOTICE 'good morning';
		END$$;
		CREATE EVENT TRIGGER hours ON login EXECUTE FUNCTION hours()`); err != nil {
		t.Fatal(err)
	}
	a, _ := newAuthority(t, "reads", "late")
	admit(t, p, a)
	b := open(t, p, a)
	login := Login{Role: "reads", Database: "postgres", Principal: "alice@corp.example.com", Signing: unheard}
	conn, err := b.Connect(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(conn.Greeting, []byte("good morning")) {
		t.Errorf("the greeting is %q", conn.Greeting)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	login.Role = "late"
	_, err = b.Connect(t.Context(), login)
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	if e := failure.Told; e.Code != "P0001" || e.Message != "come back in the morning" || e.Hint != "at eight" {
		t.Errorf("the client is told %+v", e)
	}
}
