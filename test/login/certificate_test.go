package login

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// people is the authority of people's certificates.
var people authority

type authority struct {
	ca, stranger *testkit.CA
	revoked      *testkit.Certificate // on the list from the beginning
}

// make writes what the configuration names.
func (a *authority) make(s *testkit.Site) (err error) {
	if a.ca, err = testkit.NewCA("people"); err != nil {
		return err
	}
	if a.stranger, err = testkit.NewCA("people"); err != nil {
		return err
	}
	if a.revoked, err = a.ca.Issue(testkit.Leaf{CommonName: "lost", UPN: "alice@corp.example.com"}); err != nil {
		return err
	}
	if _, err = a.ca.Write(s.Dir, "people-ca"); err != nil {
		return err
	}
	return a.publish(s, a.revoked)
}

// publish writes the list of what was revoked.
func (a *authority) publish(s *testkit.Site, revoked ...*testkit.Certificate) error {
	crl, err := a.ca.Revoke(time.Now().Add(24*time.Hour), revoked...)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "people.crl"), crl, 0o644)
}

// bearer is somebody with a certificate, and no ticket.
func bearer(t *testing.T, s *testkit.Site, c *testkit.Certificate) *person {
	t.Helper()
	certFile, keyFile, err := c.Write(t.TempDir(), "me")
	if err != nil {
		t.Fatal(err)
	}
	p := somebody(t, s)
	p.environment = append(p.environment, "PGSSLCERT="+certFile, "PGSSLKEY="+keyFile)
	return p
}

func issue(t *testing.T, ca *testkit.CA, leaf testkit.Leaf) *testkit.Certificate {
	t.Helper()
	c, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func named(upn string) testkit.Leaf { return testkit.Leaf{CommonName: "somebody", UPN: upn} }

// TestCertificate: who shows a certificate is asked for nothing, under every form of
// the name.
func TestCertificate(t *testing.T) {
	t.Parallel()
	s := site(t)
	sid, err := s.Controller.Attributes(t.Context(), "alice", "objectSid")
	if err != nil {
		t.Fatal(err)
	}
	leaf := named("alice@corp.example.com")
	leaf.SID = sid["objectSid"]
	alice := bearer(t, s, issue(t, people.ca, leaf))
	for _, user := range []string{"alice", "ALICE@corp.example.com", `CORP\\alice`} {
		r := alice.enters(user, dbCertificate)
		if r.Method != string(auth.Certificate) || r.Principal.Account != "alice" || !strings.Contains(r.Detail, "of alice@corp.example.com, CN=somebody, until ") {
			t.Errorf("%s: recorded as %s of %s: %s", user, r.Method, r.Principal.Account, r.Detail)
		}
	}
	alice.enters("alice", dbShown)
	bearer(t, s, issue(t, people.ca, named("judy.smith@corp.example.com"))).enters("judy", dbCertificate)
	bearer(t, s, issue(t, people.ca, testkit.Leaf{CommonName: "the desk", Organization: "Corp"})).enters("ivan", dbCertificate)
	bearer(t, s, issue(t, people.ca, named("zoë.müller@corp.example.com"))).enters(testkit.ZoeAccount, dbCertificate)
}

// TestCertificateFails: whatever is wrong, one message, the cause on record, and no
// way back to the password.
func TestCertificateFails(t *testing.T) {
	t.Parallel()
	s := site(t)
	const alice = "alice@corp.example.com"
	// For whom the directory takes names with more spaces, too.
	if err := s.Controller.CreateUser(t.Context(), "mary ann", "Comes-and-G0es", testkit.GroupReaders); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*testkit.Leaf)) testkit.Leaf {
		l := named(alice)
		change(&l)
		return l
	}
	for what, tt := range map[string]struct {
		certificate *testkit.Certificate
		user        string
		cause       auth.Cause
	}{
		"another's":     {issue(t, people.ca, named(alice)), "bob", auth.CauseIdentityMismatch},
		"of one before": {issue(t, people.ca, with(func(l *testkit.Leaf) { l.SID = "S-1-5-21-1-2-3-1104" })), "alice", auth.CauseIdentityMismatch},
		"a lookalike's": {issue(t, people.ca, named("judy.\u017fmith@corp.example.com")), "judy.smith@corp.example.com", auth.CauseNoSuchAccount},
		"of more space": {issue(t, people.ca, named("mary  ann@corp.example.com")), "mary ann@corp.example.com", auth.CauseIdentityMismatch},
		"all of it":     {issue(t, people.ca, named("mary  ann@corp.example.com")), "mary  ann@corp.example.com", auth.CauseIdentityMismatch},
		"of nobody":     {issue(t, people.ca, named("nobody@corp.example.com")), "alice", auth.CauseNoSuchAccount},
		"elsewhere":     {issue(t, people.ca, named("alice@example.org")), "alice", auth.CauseNoSuchAccount},
		"a filter":      {issue(t, people.ca, named("*")), "alice", auth.CauseNoSuchAccount},
		"disabled":      {issue(t, people.ca, named("dave@corp.example.com")), "dave", auth.CauseDisabled},
		"expired":       {issue(t, people.ca, named("erin@corp.example.com")), "erin", auth.CauseAccountExpired},
		"without rule":  {issue(t, people.ca, named("carol@corp.example.com")), "carol", auth.CauseNoMatchingRule},
		"nameless":      {issue(t, people.ca, testkit.Leaf{CommonName: "alice"}), "alice", auth.CauseCertificateNameless},
		"a stranger's":  {issue(t, people.stranger, named(alice)), "alice", auth.CauseCertificateUntrusted},
		"old":           {issue(t, people.ca, with(func(l *testkit.Leaf) { l.NotAfter = time.Now().Add(-time.Minute) })), "alice", auth.CauseCertificateExpired},
		"a server's":    {issue(t, people.ca, with(func(l *testkit.Leaf) { l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), "alice", auth.CauseCertificateUsage},
		"revoked":       {people.revoked, "alice", auth.CauseCertificateRevoked},
	} {
		r := bearer(t, s, tt.certificate).refused(tt.cause, tt.user, dbCertificate, "PGPASSWORD="+testkit.AlicePassword)
		if r.Cause != string(auth.CauseNoMatchingRule) && r.Method != string(auth.Certificate) {
			t.Errorf("%s: recorded as %s", what, r.Method)
		}
	}
}

// TestCertificateIsAsked: pins and pgcustos.auth decide, as they do for tickets.
func TestCertificateIsAsked(t *testing.T) {
	t.Parallel()
	s := site(t)
	alice := bearer(t, s, issue(t, people.ca, named("alice@corp.example.com")))
	password := "PGPASSWORD=" + testkit.AlicePassword
	if r := alice.enters("alice", dbPassword, password); r.Method != string(auth.Password) {
		t.Errorf("pinned to the password: %s", r.Method)
	}
	if r := alice.enters("alice", testkit.OrdersDatabase, password, "PGOPTIONS=-c pgcustos.auth=password"); r.Method != string(auth.Password) {
		t.Errorf("asked for the password: %s", r.Method)
	}
	none := somebody(t, s)
	for _, way := range []struct{ database, options string }{{dbShown, ""}, {testkit.OrdersDatabase, "-c pgcustos.auth=certificate"}} {
		said, err := none.psql("alice", way.database, password, "PGOPTIONS="+way.options)
		if err == nil || !strings.Contains(said, "connection requires a valid client certificate") {
			t.Errorf("%s %s: %v, %s", way.database, way.options, err, said)
		} else {
			none.recorded(said, auth.CauseNoCertificate)
		}
	}
	if said, err := alice.psql("alice", dbPassword, "PGOPTIONS=-c pgcustos.auth=certificate"); err == nil || !strings.Contains(said, "not allowed here") {
		t.Errorf("%v: %s", err, said)
	}
}

// TestCertificateEnds: a session ends with its certificate, and when that is revoked, or
// becomes another's; and one that did not come by a certificate, when that is demanded.
func TestCertificateEnds(t *testing.T) {
	t.Parallel()
	ca, err := testkit.NewCA("people")
	if err != nil {
		t.Fatal(err)
	}
	none, err := ca.Revoke(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.ClientCertificates = `client_certificates: {ca: people-ca.crt, crl: people.crl,
  subjects: [{subject: "CN=the desk,O=Corp", account: ivan}, {subject: "CN=the counter,O=Corp", account: ivan}]}`
		for name, text := range map[string][]byte{"people-ca.crt": ca.PEM, "people.crl": none} {
			if err := os.WriteFile(filepath.Join(c.Dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	connect := func(dsn string) *pgconn.PgConn {
		conn, err := pgconn.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	enterAs := func(user string, c *testkit.Certificate) *pgconn.PgConn {
		certFile, keyFile, err := c.Write(t.TempDir(), "me")
		if err != nil {
			t.Fatal(err)
		}
		return connect(s.DSN(user, "", testkit.OrdersDatabase) + " sslcert=" + certFile + " sslkey=" + keyFile)
	}
	enter := func(c *testkit.Certificate) *pgconn.PgConn { return enterAs("alice", c) }
	ends := func(conn *pgconn.PgConn, cause auth.Cause) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		err := conn.WaitForNotification(ctx)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "57P01" {
			t.Fatalf("%s: %v", cause, err)
		}
		s.Await(t, "the revocation", func(r *journal.Record) bool { return r.Type == audit.Revocation && r.Cause == string(cause) })
	}
	lost := issue(t, ca, named("alice@corp.example.com"))
	leaf := named("alice@corp.example.com")
	leaf.NotAfter = time.Now().Add(20 * time.Second)
	brief, kept, revoked := enter(issue(t, ca, leaf)), enter(issue(t, ca, named("alice@corp.example.com"))), enter(lost)
	desk := enterAs("ivan", issue(t, ca, testkit.Leaf{CommonName: "the desk", Organization: "Corp"}))
	counter := enterAs("ivan", issue(t, ca, testkit.Leaf{CommonName: "the counter", Organization: "Corp"}))
	known := connect(s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase))
	crl, err := ca.Revoke(time.Now().Add(time.Hour), lost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "people.crl"), crl, 0o644); err != nil {
		t.Fatal(err)
	}
	err = s.WriteConfig(func(c *testkit.SiteConfig) {
		c.ClientCertificates = `client_certificates: {ca: people-ca.crt, crl: people.crl,
  subjects: [{subject: "CN=the desk,O=Corp", account: judy}, {subject: "CN=the counter,O=Corp", account: ivan@corp.example.com}],
  pins: [{databases: [orders], method: certificate}]}`
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	ends(revoked, auth.CauseCertificateRevoked)
	ends(desk, auth.CauseIdentityMismatch)
	ends(known, auth.CauseMethod)
	ends(brief, auth.CauseCertificateExpired)
	for what, conn := range map[string]*pgconn.PgConn{"another's": kept, "the same, by another form of the name,": counter} {
		if _, err := conn.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
			t.Errorf("%s session: %v", what, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
