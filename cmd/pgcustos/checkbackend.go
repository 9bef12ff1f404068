package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

// The SQLSTATEs that a probe tells apart (errcodes.txt).
const (
	invalidPassword = "28P01" // also of a role that does not exist
	invalidAuth     = "28000"
	noSuchDatabase  = "3D000"
	noPrivilege     = "42501"
	undefinedObject = "42704"
)

// anyDatabase is where roles are probed that rules let into every database.
const anyDatabase = "postgres"

// backend tries the log-in of each role that rules name, at each host, in each
// database that they name.
func (r *report) backend(ctx context.Context, c *config.Config, b *backend.Options) {
	uses := roleDatabases(c, b.Name)
	roles := sortedRoles(uses)
	if b.Authority != nil {
		r.validity("backend "+b.Name+" authority", b.Authority.Certificate)
	}
	for _, h := range b.Hosts {
		p, err := newProbe(r, c, b, h)
		if err != nil {
			r.fail("%v", err)
			return
		}
		for _, role := range roles {
			p.role(ctx, role, uses[role])
		}
		p.missing(ctx)
		p.elsewhere(ctx, roles)
		p.catalog(ctx, c, uses)
		p.close()
	}
}

func sortedRoles(uses map[string][]string) []string { return slices.Sorted(maps.Keys(uses)) }

// roleDatabases lists the databases that rules let each role of a backend into.
func roleDatabases(c *config.Config, backend string) map[string][]string {
	out := map[string][]string{}
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Grant.Backend != backend {
			continue
		}
		for _, d := range r.Databases {
			if !slices.Contains(out[r.Grant.Role], d) {
				out[r.Grant.Role] = append(out[r.Grant.Role], d)
			}
		}
	}
	return out
}

// probe is one host of a backend while its roles are tried.
type probe struct {
	*report
	options *backend.Options
	host    backend.Host
	backend *backend.Backend // of the one host
	journal journal.Options  // where signatures are put on record
	conn    *pgx.Conn        // of the first role that could log in
	refused []string         // roles that could not
	access  *access          // nil where nobody may read it
}

func newProbe(r *report, c *config.Config, b *backend.Options, h backend.Host) (*probe, error) {
	one := *b
	one.Hosts = []backend.Host{h}
	opened, err := backend.Open(one)
	return &probe{report: r, options: b, host: h, backend: opened, journal: c.Journal}, err
}

func (p *probe) name(role string) string {
	return fmt.Sprintf("backend %s (%s:%d) role %s", p.options.Name, p.host.Host, p.host.Port, role)
}

func (p *probe) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if p.conn != nil {
		_ = p.conn.Close(ctx) // it was only read from
	}
	if p.access != nil {
		_ = p.access.conn.Close(ctx)
	}
}

func (p *probe) role(ctx context.Context, role string, databases []string) {
	looked := false
	for _, database := range databases {
		every := database == "*"
		if every {
			database = anyDatabase
		}
		conn, err := p.connect(ctx, role, database)
		switch code := sqlstate(err); {
		case err == nil:
			if !looked {
				looked = true
				p.powers(ctx, role, database, conn)
			} else {
				p.ok("%s: logs in to %s", p.name(role), database)
			}
			p.path(ctx, role, database, conn)
			p.keep(conn, p.readAccess(ctx, conn))
		case every && (code == noSuchDatabase || code == noPrivilege):
			p.warn("%s: its password is right, but it may not enter %s, so what it may become was not looked at", p.name(role), anyDatabase)
		case code == invalidPassword || code == invalidAuth:
			p.refused = append(p.refused, role)
			return
		default:
			p.fail("%s: cannot log in to %s: %v", p.name(role), database, err)
			if code == "" {
				return
			}
		}
	}
}

func (p *probe) keep(conn *pgx.Conn, read bool) {
	if p.conn == nil {
		p.conn = conn
		if t, ok := conn.PgConn().Conn().(*tls.Conn); ok {
			p.validity(fmt.Sprintf("backend %s (%s:%d) certificate", p.options.Name, p.host.Host, p.host.Port), t.ConnectionState().PeerCertificates[0])
		}
		return
	}
	if read {
		return // it answers further questions
	}
	other := probe{conn: conn}
	other.close()
}

// missing says of each role that was refused whether it exists at all, which
// PostgreSQL does not tell a stranger.
func (p *probe) missing(ctx context.Context) {
	for _, role := range p.refused {
		why := "the role does not exist, or " + p.otherwise()
		if p.conn != nil {
			var exists, login bool
			err := p.conn.QueryRow(ctx, "SELECT count(*) > 0, coalesce(bool_or(rolcanlogin), false) FROM pg_catalog.pg_roles WHERE rolname = $1", role).Scan(&exists, &login)
			switch {
			case err != nil:
			case !exists:
				why = "the role does not exist"
			case !login:
				why = "the role exists and has no LOGIN"
			default:
				why = "the role exists; " + p.otherwise()
			}
		}
		p.fail("%s: cannot log in: %s", p.name(role), why)
	}
}

// otherwise tells what keeps a role out that is there.
func (p *probe) otherwise() string {
	if p.options.Authority != nil {
		return "the server does not take the certificate: pgcustos backend add " + p.options.Name + " prints what it needs"
	}
	return "its password is another one, or pg_hba.conf has no line for it"
}

func sqlstate(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// connect logs in as the role. pgx makes configurations by parsing only, and
// reads the environment when it does: what matters is overwritten.
func (p *probe) connect(ctx context.Context, role, database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("host=localhost sslmode=disable")
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.User, c.Database = p.host.Host, p.host.Port, role, database
	c.Fallbacks, c.ValidateConnect, c.TLSConfig = nil, nil, p.tls()
	c.RuntimeParams = map[string]string{"application_name": "pgcustos check"}
	c.ConnectTimeout = p.options.ConnectTimeout
	if p.options.Authority != nil {
		err = p.showCertificate(ctx, &c.Config, role)
	} else {
		err = p.givePassword(&c.Config, role)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.ConnectTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, c)
}

func (p *probe) givePassword(c *pgconn.Config, role string) error {
	read, ok := p.options.Credentials[role].(backend.Password)
	if !ok {
		return fmt.Errorf("role %s does not log in with a password", role)
	}
	password, err := read()
	if err != nil {
		return err
	}
	defer password.Wipe()
	c.Password, c.RequireAuth = password.Reveal(), "scram-sha-256"
	return nil
}

func (p *probe) tls() *tls.Config {
	if p.options.TLS == nil {
		return nil
	}
	t := p.options.TLS.Clone()
	if t.ServerName == "" {
		t.ServerName = p.host.Host
	}
	return t
}

// memberships reads the role that is logged in, and every role that it can
// become through others.
const memberships = `
WITH RECURSIVE reach(oid) AS (
  SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user
  UNION
  SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN reach ON m.member = reach.oid)
SELECT rolname::text, rolname = current_user, rolsuper, rolcreaterole, rolbypassrls, rolreplication, rolvaliduntil IS NULL OR rolvaliduntil = 'infinity'
FROM pg_catalog.pg_roles JOIN reach USING (oid) ORDER BY 2 DESC, 1`

type power struct {
	Name                                           string
	Self, Super, CreateRole, BypassRLS, Replicates bool
	Endless                                        bool // its password has no end
}

// grave are PostgreSQL's own roles whose members reach the server's files and
// programs, and through them everything.
var grave = []string{"pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"}

// powers judges what a session of the role could become (invariant 4).
func (p *probe) powers(ctx context.Context, role, database string, conn *pgx.Conn) {
	rows, err := conn.Query(ctx, memberships)
	if err != nil {
		p.fail("%s: cannot read what it is a member of: %v", p.name(role), err)
		return
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[power])
	if err != nil || len(list) == 0 {
		p.fail("%s: cannot read what it is a member of: %v", p.name(role), err)
		return
	}
	p.ok("%s: logs in to %s", p.name(role), database)
	var members []string
	for _, r := range list {
		how := ""
		if !r.Self {
			how = "through membership in " + r.Name + " "
			members = append(members, r.Name)
		}
		switch {
		case r.Super:
			p.fail("%s: %sis a superuser: nothing in PostgreSQL holds a session of it", p.name(role), how)
		case slices.Contains(grave, r.Name):
			p.fail("%s: %sreaches files or programs of the server", p.name(role), how)
		case r.CreateRole || r.BypassRLS || r.Replicates:
			p.warn("%s: %shas %s", p.name(role), how, strings.Join(attributes(r), ", "))
		}
	}
	if list[0].Endless && p.options.Authority == nil {
		p.warn("%s: its password never expires: ALTER ROLE %s VALID UNTIL 'a date', or auth: certificate, which needs none", p.name(role), role)
	}
	if len(members) > 0 {
		p.warn("%s: can become %s (SET ROLE, with or without INHERIT): only the tag role_change holds it back", p.name(role), strings.Join(members, ", "))
	}
}

func attributes(r power) []string {
	var out []string
	if r.CreateRole {
		out = append(out, "CREATEROLE")
	}
	if r.BypassRLS {
		out = append(out, "BYPASSRLS")
	}
	if r.Replicates {
		out = append(out, "REPLICATION")
	}
	return out
}

// schemaPath reads where names without a schema lead, and who says so
// (pg_settings.source: "default", "configuration file", "database", "user",
// "database user").
const schemaPath = `
SELECT setting, source, coalesce(array_to_string(pg_catalog.current_schemas(false), ', '), '')
FROM pg_catalog.pg_settings WHERE name = 'search_path'`

// path warns where names without a schema mean another one than public: rules
// take them for public's until the session changes that (docs/decisions/0008).
func (p *probe) path(ctx context.Context, role, database string, conn *pgx.Conn) {
	var setting, source, schemas string
	if err := conn.QueryRow(ctx, schemaPath).Scan(&setting, &source, &schemas); err != nil {
		p.fail("%s: cannot read search_path in %s: %v", p.name(role), database, err)
		return
	}
	const meaning = "names without a schema may mean other tables than public's, which deny_objects does not see: name the schemas in the rules"
	switch {
	case setting != `"$user", public`:
		p.warn("%s: search_path in %s is %s (from: %s): %s", p.name(role), database, setting, source, meaning)
	case schemas != "public" && schemas != "":
		p.warn("%s: search_path in %s leads to %s, for there is a schema of the role's name: %s", p.name(role), database, schemas, meaning)
	}
}
