package login

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// Databases by which the site's rules and pins tell clients apart.
const (
	dbTicket   = "by_ticket"   // a rule asks for methods: [kerberos]
	dbAssured  = "assured"     // a rule asks for an assurance that Samba's tickets have
	dbCard     = "by_card"     // and for one that they have not
	dbPassword = "by_password" // pinned to the password
	dbPinned   = "pinned"      // pinned to tickets

	dbCertificate = "by_certificate" // a rule asks for methods: [certificate]
	dbShown       = "shown"          // pinned to certificates
)

var prepared struct {
	once sync.Once
	err  error
}

// site is the site that the package shares.
func site(t *testing.T) *testkit.Site {
	t.Helper()
	s := testkit.SharedSite(t)
	prepared.once.Do(func() { prepared.err = prepare(t, s) })
	if prepared.err != nil {
		t.Fatal(prepared.err)
	}
	return s
}

func prepare(t *testing.T, s *testkit.Site) error {
	t.Helper()
	for _, database := range []string{dbTicket, dbAssured, dbCard, dbPassword, dbPinned, dbCertificate, dbShown} {
		if err := s.Postgres.Exec(t.Context(), "postgres", "CREATE DATABASE "+database); err != nil {
			return err
		}
	}
	if err := people.make(s); err != nil {
		return err
	}
	err := s.WriteConfig(func(c *testkit.SiteConfig) {
		s.WithKerberos(c, fmt.Sprintf("{databases: [%s], method: password}, {databases: [%s], method: kerberos}, {users: [pinned down], method: kerberos}", dbPassword, dbPinned))
		c.ClientCertificates = fmt.Sprintf(`client_certificates:
  ca: people-ca.crt
  crl: people.crl
  subjects: [{subject: "CN=the desk,O=Corp", account: ivan}]
  pins: [{databases: [%s], method: certificate}]`, dbShown)
		for database, condition := range map[string]string{
			dbTicket: "methods: [kerberos]", dbAssured: "assurance: [S-1-18-1]", dbCard: "assurance: [S-1-5-65-1]",
			dbPassword: "kinds: [person]", dbPinned: "kinds: [person]",
			dbCertificate: "methods: [certificate]", dbShown: "kinds: [person]",
		} {
			c.ExtraRules += ruleYAML(database, condition)
		}
	})
	if err != nil {
		return err
	}
	return s.Reload(t.Context())
}

func ruleYAML(database, condition string) string {
	return fmt.Sprintf(`
  - name: %s
    groups: [%s]
    databases: [%[1]s]
    sources: [127.0.0.0/8]
    justification: everybody on this machine
    %[3]s
    grant: {backend: orders, role: app_ro_orders, classes: [READ, FUNCTION, MISC, MISC_SET]}
`, database, testkit.GroupReaders, condition)
}

// person is somebody at a shell.
type person struct {
	t           *testing.T
	site        *testkit.Site
	environment []string
}

// somebody holds no ticket.
func somebody(t *testing.T, s *testkit.Site) *person {
	t.Helper()
	return &person{t: t, site: s, environment: []string{"KRB5_CONFIG=" + s.Controller.Krb5Conf(), "KRB5CCNAME=FILE:" + filepath.Join(t.TempDir(), "none")}}
}

// holder logs on to the domain, and holds a ticket from then on.
func holder(t *testing.T, s *testkit.Site, account, password string) *person {
	t.Helper()
	tickets, err := s.Controller.Kinit(t.Context(), filepath.Join(t.TempDir(), "tickets"), account, password)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, site: s, environment: tickets.Environment}
}

// psql runs a command as user in a database, and returns all that psql says.
func (p *person) psql(user, database string, environment ...string) (said string, err error) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "psql", p.site.TicketDSN(user, database), "-XAtw",
		"-c", "SELECT session_user || ' in ' || current_database()")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.t.TempDir(), "LC_ALL=C.UTF-8"}, p.environment...)
	cmd.Env = append(cmd.Env, environment...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return strings.TrimSpace(out.String()), err
}

// calls tells one call of psql from another in the records.
var calls atomic.Int64

// enters expects a session, and returns its record.
func (p *person) enters(user, database string, environment ...string) journal.Record {
	p.t.Helper()
	name := fmt.Sprintf("psql %d", calls.Add(1)) // others come in beside, as the same user
	said, err := p.psql(user, database, append(environment, "PGAPPNAME="+name)...)
	if err != nil || said != "app_ro_orders in "+database {
		p.t.Fatalf("%v: %s", err, said)
	}
	all, err := p.site.Records(func(r *journal.Record) bool {
		return r.Type == audit.Authentication && r.Decision == audit.Allowed && r.ApplicationName == name
	})
	if err != nil || len(all) != 1 || all[0].Database != database || all[0].User != strings.ReplaceAll(user, `\\`, `\`) {
		p.t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

var incidents = regexp.MustCompile(`Incident ([0-9a-z]{16})`)

// refused expects the message that everybody gets, and the cause on record.
func (p *person) refused(cause auth.Cause, user, database string, environment ...string) journal.Record {
	p.t.Helper()
	said, err := p.psql(user, database, environment...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(said, "authentication failed for user") {
		p.t.Fatalf("%v: %s", err, said)
	}
	return p.recorded(said, cause)
}

func (p *person) recorded(said string, cause auth.Cause) journal.Record {
	p.t.Helper()
	id := incidents.FindStringSubmatch(said)
	if id == nil {
		p.t.Fatalf("no incident: %s", said)
	}
	r := p.site.Await(p.t, "it", func(r *journal.Record) bool { return r.Incident == id[1] })
	if r.Cause != string(cause) || r.Decision != audit.Denied {
		p.t.Fatalf("recorded as %s %s: %s", r.Decision, r.Cause, r.Detail)
	}
	return r
}
