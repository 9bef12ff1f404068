package hostile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestInvariant1DefaultDeny is everybody who has no rule or no account in order:
// one message for all of them, an exact cause on record, no session.
func TestInvariant1DefaultDeny(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	reads := func(user string) []string { return []string{"user", user, "database", testkit.OrdersDatabase} }
	for _, c := range []struct {
		name       string
		parameters []string
		password   string
		cause      auth.Cause
	}{
		{"no group", reads("carol"), testkit.CarolPassword, auth.CauseNoMatchingRule},
		{"no such account", reads("nobody"), "whatever", auth.CauseNoSuchAccount},
		{"disabled", reads("dave"), testkit.DavePassword, auth.CauseDisabled},
		{"expired", reads("erin"), testkit.ErinPassword, auth.CauseAccountExpired},
		{"must change", reads("frank"), testkit.FrankPassword, auth.CauseMustChange},
		{"locked out", reads("grace"), testkit.GracePassword, auth.CauseLockedOut},
		{"password expired", reads("heidi"), testkit.HeidiPassword, auth.CausePasswordExpired},
		{"another database", []string{"user", "alice", "database", "lab"}, testkit.AlicePassword, auth.CauseNoMatchingRule},
		{"the template", []string{"user", "alice", "database", "template1"}, testkit.AlicePassword, auth.CauseNoMatchingRule},
		{"the database in upper case", []string{"user", "alice", "database", "ORDERS"}, testkit.AlicePassword, auth.CauseNoMatchingRule},
		{"a role of others", append(reads("alice"), "options", "-c pgcustos.role=migrate_orders"), testkit.AlicePassword, auth.CauseNoMatchingRule},
		{"a role of nobody", append(reads("alice"), "options", "-c pgcustos.role=postgres"), testkit.AlicePassword, auth.CauseNoMatchingRule},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := dialTLS(t, s).answer(startup(c.parameters...), passwordMessage(c.password)...)
			e := x.told("28P01", "")
			if want := fmt.Sprintf("authentication failed for user %q", c.parameters[1]); e.Message != want {
				t.Errorf("it is told %q", e.Message)
			}
			r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
			if r.Cause != string(c.cause) || r.Decision != audit.Denied {
				t.Errorf("recorded as %s %s: %s", r.Decision, r.Cause, r.Detail)
			}
			started, err := records(s, all(from(x.source), ofType(audit.SessionStart)))
			if err != nil || len(started) > 0 {
				t.Errorf("%d sessions, %v", len(started), err)
			}
		})
	}
	t.Run("no configuration", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), s.Binary, "serve", "--config", filepath.Join(t.TempDir(), "none.yaml")).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("it ended with %v: %s", err, out)
		}
	})
}

// TestInvariant1DirectorySilent takes the directory away: nobody new gets in, and
// nobody who is in waits for it.
func TestInvariant1DirectorySilent(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) { c.Recheck = "1s" })
	bystand(t, s)
	other := beat(t, s, known)
	if err := s.Controller.Freeze(); err != nil {
		t.Fatal(err)
	}
	c := dialTLS(t, s).answer(startup(reader...), passwordMessage(testkit.AlicePassword)...)
	e := c.told("57P03", "the directory that knows the users does not answer")
	if err := s.Controller.Thaw(); err != nil {
		t.Fatal(err)
	}
	r := await(t, s, "it", withIncident(incidentOf(t, e.Detail)))
	if r.Cause != string(auth.CauseDirectoryDown) {
		t.Errorf("recorded as %s: %s", r.Cause, r.Detail)
	}
	other.unharmed(t)
	eventually(t, func() error { return tryLogin(t, s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase)) })
}

// TestInvariant2TLSBeforeSecrets asks for a session in clear in every way: it is
// never answered with a request for a password.
func TestInvariant2TLSBeforeSecrets(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for name, b := range map[string][]byte{
		"3.0":            startup(reader...),
		"3.2":            packet(protocol32, startupBody(reader...)...),
		"3.9999":         packet(3<<16|9999, startupBody(reader...)...),
		"with _pq_":      startup(append([]string{"_pq_.a", "b"}, reader...)...),
		"replication":    startup(append([]string{"replication", "true"}, reader...)...),
		"no user":        startup(),
		"with the word":  append(startup(reader...), passwordMessage("clear-Text-0ne")...),
		"the word alone": passwordMessage("clear-Text-0ne"),
	} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, GSSENCRequest first %v", name, first), func(t *testing.T) {
				c := dial(t, s)
				if first {
					c.write(packet(codeGSS)...)
					c.byteFromProxy('N')
				}
				c.write(b...)
				for {
					m, err := c.front.Receive()
					if err != nil {
						break
					}
					switch m.(type) {
					case *pgproto3.ErrorResponse, *pgproto3.NegotiateProtocolVersion:
					default:
						t.Errorf("it is answered with %#v", m)
					}
				}
				await(t, s, name, all(from(c.source), ofType(audit.Connection)))
			})
		}
	}
	nowhere(t, s, "clear-Text-0ne")
}

// escapes are ways out of a role that was set, which is none of those that were
// logged in as.
var escapes = []string{
	"RESET ROLE", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT", "SET ROLE NONE", "SET ROLE postgres",
	"SET LOCAL ROLE postgres", "SET SESSION ROLE postgres", `SET "role" TO postgres`, "SET role = 'postgres'", "set/**/role/**/postgres",
	`SET U&"r\006fle" = postgres`, "SET SESSION AUTHORIZATION postgres", "DISCARD ALL", "RESET ALL",
	"SELECT set_config('role', 'postgres', false)", "SELECT set_config('ro' || 'le', 'none', false)",
	"SELECT set_config('session_authorization', 'postgres', false)",
	"WITH x AS (SELECT set_config('role', 'postgres', false)) SELECT * FROM x",
	"EXPLAIN ANALYZE SELECT set_config('role', 'postgres', false)",
	"COPY (SELECT set_config('role', 'postgres', false)) TO STDOUT",
	"SELECT query_to_xml('SELECT set_config(''role'', ''postgres'', false)', true, true, '')",
	"DO $$ BEGIN EXECUTE 'RESET ROLE'; END $$", "DO $$ BEGIN EXECUTE 'SET ROLE postgres'; END $$",
	"DO $$ BEGIN PERFORM set_config('session_authorization', 'postgres', false); END $$",
	"BEGIN; RESET ROLE; COMMIT", "RESET ROLE; RESET SESSION AUTHORIZATION; SET ROLE NONE",
	"ALTER ROLE lab_owner SET role = 'postgres'", "UPDATE pg_settings SET setting = 'postgres' WHERE name = 'role'",
}

// TestInvariant4SessionUser tries all of them, in each form of the protocol.
func TestInvariant4SessionUser(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	const who = "SELECT current_user || ' ' || session_user || ' ' || (SELECT usename FROM pg_stat_activity WHERE pid = pg_backend_pid())"
	const want = testkit.LabRole + " " + testkit.LabRole + " " + testkit.LabRole
	for name, try := range map[string]func(c *client, sql string){
		"simple":   func(c *client, sql string) { c.write(query(sql)...) },
		"extended": func(c *client, sql string) { c.write(extended(sql)...) },
		"PREPARE": func(c *client, sql string) {
			c.write(query("PREPARE escape AS " + sql)...)
			c.settle()
			c.write(query("EXECUTE escape")...)
			c.settle()
			c.write(query("DEALLOCATE ALL")...)
		},
		"DO": func(c *client, sql string) {
			c.write(query("DO $outer$ BEGIN EXECUTE $inner$" + sql + "$inner$; END $outer$")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := lab(t, s)
			for _, sql := range escapes {
				try(c, sql)
				c.settle()
				if got := c.ask(who); got != want {
					t.Errorf("%s: the session is %s", sql, got)
				}
			}
		})
	}
	t.Run("FunctionCall", func(t *testing.T) {
		c := lab(t, s)
		for _, setting := range []string{"role", "session_authorization"} {
			c.write(setConfig(setting, "postgres")...)
			c.settle()
			if got := c.ask(who); got != want {
				t.Errorf("%s: the session is %s", setting, got)
			}
		}
		await(t, s, "the call", func(r *journal.Record) bool { return r.Source.Address == c.source && r.Protocol == "fastpath" })
	})
	t.Run("the log-in", func(t *testing.T) {
		// What logs in is the role that the rule names, and no power stands behind it.
		c := alice(t, s)
		if got := c.ask("SELECT session_user || ' ' || rolsuper || ' ' || rolcreaterole FROM pg_roles WHERE rolname = session_user"); got != "app_ro_orders false false" {
			t.Errorf("the session is %s", got)
		}
	})
}

// settle reads up to ReadyForQuery, errors or not.
func (c *client) settle() {
	c.t.Helper()
	for {
		if _, ok := c.receive().(*pgproto3.ReadyForQuery); ok {
			return
		}
	}
}

func extended(sql string) []byte {
	return bytes.Join([][]byte{
		message('P', "\x00"+sql+"\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"),
		message('D', "P\x00"), message('E', "\x00\x00\x00\x00\x00"), message('S', ""),
	}, nil)
}

// setConfig calls set_config(name, value, false), whose OID is 2078.
func setConfig(name, value string) []byte {
	argument := func(v string) string { return "\x00\x00\x00" + string(rune(len(v))) + v }
	return message('F', "\x00\x00\x08\x1e"+"\x00\x01\x00\x00"+"\x00\x03"+argument(name)+argument(value)+argument("f")+"\x00\x00")
}

// TestInvariant6BytesSent asks the server for the text that it got.
func TestInvariant6BytesSent(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	c := lab(t, s)
	for _, sql := range []string{
		"SELECT current_query()",
		"  \t\r\n SELECT  current_query( ) ; ",
		"/* a /* nested */ comment */ SELECT current_query() -- and one at the end",
		"SELECT current_query(), 'Größe ∅ \u202e \u0001 \ufeff', $tag$ ' -- $tag$",
		"SELECT current_query(), 1 AS a; SELECT current_query(), 2 AS b",
		"select CURRENT_QUERY(), E'\\x41\\n', U&'\\0041', B'1', X'ff'",
		"SELECT current_query(), 'it''s'\n  ' and more'",
		"SELECT current_query() /* " + strings.Repeat("long ", 200_000) + "*/",
	} {
		c.write(query(sql)...)
		_, rows := c.ready()
		for _, got := range rows {
			if got != sql {
				t.Errorf("simple: the server got %.200q for %.200q", got, sql)
			}
		}
		if len(rows) == 0 {
			t.Errorf("%.100q gave nothing", sql)
		}
		if strings.Count(sql, ";") > 0 && strings.Contains(sql, "AS b") {
			continue // of two statements Parse takes none
		}
		c.write(extended(sql)...)
		if _, rows := c.ready(); len(rows) != 1 || rows[0] != sql {
			t.Errorf("extended: the server got %.200q for %.200q", rows, sql)
		}
	}
}

// TestInvariant6DeniedBytes looks into the server's log: of a denied text it saw
// the incident's id and nothing else.
func TestInvariant6DeniedBytes(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	asSuperuser(t, s, "postgres", "ALTER SYSTEM SET log_statement = 'all'")
	asSuperuser(t, s, "postgres", "SELECT pg_reload_conf()")
	c := alice(t, s)
	eventually(t, func() error {
		c.ask("SELECT 'logged now'")
		if text, err := os.ReadFile(s.Postgres.LogFile()); err != nil || !bytes.Contains(text, []byte("logged now")) {
			return fmt.Errorf("statements are not logged yet: %w", errors.Join(err, errors.New("not there")))
		}
		return nil
	})
	var incidents []string
	for _, b := range [][]byte{
		query("DELETE FROM orders /* marked */"),
		query("SELECT 1 /* marked */; DROP TABLE orders"),
		extended("UPDATE orders SET note = 'marked'"),
		query("PREPARE marked AS DELETE FROM orders"),
		query("SELECT * FROM private.salaries /* marked */"),
		query("marked, and no SQL"),
	} {
		c.write(b...)
		e := c.complaint("ERROR", "42501", "")
		c.settle()
		incidents = append(incidents, incidentOf(t, e.Detail))
	}
	text, err := os.ReadFile(s.Postgres.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("marked")) {
		t.Error("the server saw a denied text")
	}
	for _, id := range incidents {
		if !bytes.Contains(text, []byte(id)) {
			t.Errorf("the server's log has no incident %s", id)
		}
	}
}

// TestInvariant7Unknown is what the parser cannot read, or must not trust itself
// to: only a rule that names UNKNOWN lets it pass.
func TestInvariant7Unknown(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	for _, u := range []struct{ before, sql string }{
		{"", "SELEC 1"},
		{"", "SELECT 1 FROM"},
		{"", "SELECT 'unterminated"},
		{"", "\\d orders"},
		{"", "SELECT \xff\xfe"},
		{"", "START_REPLICATION SLOT x LOGICAL 0/0"},
		{"", "EXECUTE never_prepared"},
		{"", "FETCH ALL FROM never_declared"},
		{"SET client_encoding = 'LATIN1'", "SELECT 'Gr\xf6\xdfe'"},
		{"SET client_encoding = 'SJIS'", "SELECT '\x83\x5c'"},
		{"SET client_encoding = 'GBK'", "SELECT '\xbf\x5c'"},
	} {
		t.Run(u.before+u.sql, func(t *testing.T) {
			for _, form := range []func(string) []byte{query, extended} {
				c := alice(t, s)
				if u.before != "" {
					c.ask(u.before)
				}
				c.write(form(u.sql)...)
				e := c.complaint("ERROR", "42501", "")
				c.settle()
				r := await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
				if r.Decision != audit.Denied || !slices.Contains(r.Class, "UNKNOWN") || r.Cause == "" {
					t.Errorf("recorded as %s %s, cause %q", r.Decision, r.Class, r.Cause)
				}
				c.alive()
			}
		})
	}
	// Where the rule names UNKNOWN, the server says what it thinks of it.
	c := lab(t, s)
	c.write(query("SELEC 1")...)
	c.complaint("ERROR", "42601", "syntax error")
	c.settle()
	await(t, s, "it", func(r *journal.Record) bool {
		return r.Source.Address == c.source && r.Type == audit.Statement && r.Decision == audit.Allowed && slices.Contains(r.Class, "UNKNOWN")
	})
}

// nowhere looks for a secret in all that the proxy wrote, says or hands on.
func nowhere(t *testing.T, s *testkit.Site, secrets ...string) {
	t.Helper()
	places := map[string][]byte{}
	read := func(path string) {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		places[path] = b
	}
	err := filepath.WalkDir(s.Journal, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			read(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a segment that was being made
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	read(s.LogFile())
	for _, pid := range append(workersOf(t, s.ProxyPID()), s.ProxyPID()) {
		read(fmt.Sprintf("/proc/%d/environ", pid))
		read(fmt.Sprintf("/proc/%d/cmdline", pid))
	}
	var metrics strings.Builder
	if err := s.Get(t.Context(), "/metrics", &metrics); err != nil {
		t.Error(err)
	}
	places["/metrics"] = []byte(metrics.String())
	for _, args := range [][]string{{"cat"}, {"query"}, {"query", "--format", "jsonl"}} {
		places[strings.Join(args, " ")] = []byte(auditOutput(t, s, args...))
	}
	for place, text := range places {
		for _, secret := range secrets {
			if i := bytes.Index(text, []byte(secret)); i >= 0 {
				t.Errorf("%s holds %s: …%q…", place, secret, text[max(0, i-200):min(len(text), i+80)])
			}
		}
	}
}

// auditOutput is what pgcustos audit prints.
func auditOutput(t *testing.T, s *testkit.Site, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, append(append([]string{"audit"}, args...), "--journal", s.Journal)...)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("audit %s: %v", args, err)
	}
	return string(out)
}

// TestInvariant8NoSecretStored plants passwords wherever clients leave them.
func TestInvariant8NoSecretStored(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, nil)
	const secret = "Pl4nted-"
	n := 0
	next := func() string { n++; return secret + strconv.Itoa(n) }
	texts := []string{
		"CREATE ROLE planted PASSWORD '%s'", "CREATE USER planted WITH LOGIN ENCRYPTED PASSWORD '%s' VALID UNTIL 'infinity'",
		"ALTER ROLE lab_owner PASSWORD '%s'", "ALTER USER CURRENT_USER WITH PASSWORD E'%s'", "ALTER ROLE lab_owner PASSWORD $x$%s$x$",
		"ALTER ROLE lab_owner PASSWORD U&'%s'", "create/**/role planted/**/password/**/'%s'",
		"CREATE USER MAPPING FOR lab_owner SERVER nowhere OPTIONS (user 'u', password '%s')",
		"ALTER USER MAPPING FOR lab_owner SERVER nowhere OPTIONS (SET password '%s')",
		"CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h', password '%s')",
		"CREATE SUBSCRIPTION planted CONNECTION 'host=h user=u password=%s' PUBLICATION p",
		"ALTER SUBSCRIPTION planted CONNECTION 'postgresql://u:%s@h/db'",
		"SELECT dblink_connect('c', 'host=h password=%s')", "SELECT * FROM dblink('host=h password=%s', 'SELECT 1') AS t(x int)",
		"COPY lab TO PROGRAM 'PGPASSWORD=%s psql -h h'",
		"DO $$ BEGIN CREATE ROLE planted PASSWORD '%s'; END $$", "DO $$ BEGIN EXECUTE 'ALTER ROLE lab_owner PASSWORD ''%s'''; END $$",
		"SELECT 1; ALTER ROLE lab_owner PASSWORD '%s'; SELECT 2",
		"CREATE FUNCTION planted() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE lab_owner PASSWORD '%s'; END $$",
		// What is no SQL, and what nobody can read to its end.
		"ALTER ROL lab_owner PASSWORD '%s'", "ALTER ROLE lab_owner PASSWORD '%s", "ALTER ROLE lab_owner PASSWORD '%s' SOMETHING NEW",
		"ALTER ROLE lab_owner PASSWORD E'\\\\''%s'",
	}
	var secrets []string
	for _, who := range []func(*testing.T, *testkit.Site) *client{lab, alice} {
		c := who(t, s)
		for _, text := range texts {
			for _, form := range []func(string) []byte{query, extended} {
				value := next()
				secrets = append(secrets, value)
				c.write(form(fmt.Sprintf(text, value))...)
				c.settle()
			}
		}
		c.alive()
		c.write(message('X', "")...)
		c.end()
	}
	wrong := next()
	secrets = append(secrets, wrong)
	c := dialTLS(t, s).answer(startup(reader...), passwordMessage(wrong)...)
	c.told("28P01", "")
	noNUL := next()
	c = dialTLS(t, s).answer(startup(reader...), message('p', noNUL)...)
	c.told("08P01", "")
	inQuery := next()
	c = dialTLS(t, s).answer(startup(reader...), query("SELECT '"+inQuery+"'")...)
	c.told("08P01", "")
	secrets = append(secrets, noNUL, inQuery, testkit.AlicePassword, testkit.OrdersPassword, testkit.ReaderPassword, "lab-2024-Owner")
	for _, role := range testkit.OrdersRoles() {
		secrets = append(secrets, role)
	}
	slices.Sort(secrets)
	nowhere(t, s, secrets...)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.ProxyPID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && f[4] != "0" {
			t.Errorf("it may leave a core: %s", line)
		}
	}
}

// TestInvariant9OneSession is sessions that ask for more than their share: memory
// stays bounded, and nobody else waits.
func TestInvariant9OneSession(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, nil)
	bystand(t, s)
	other := beat(t, s, known)
	before := residentMemory(t, s.ProxyPID())
	const greedy = 10
	for range greedy {
		slowReader := lab(t, s)
		slowReader.write(query("SELECT repeat('x', 1000000) FROM generate_series(1, 300)")...)
		claims := lab(t, s)
		claims.write(frame('B', 1<<30-10, "\x00\x00")...)
		text := lab(t, s)
		text.write(frame('Q', 100<<20, "SELECT ")...)
		many := lab(t, s)
		many.offer(bytes.Repeat(extended("SELECT 1"), 2000)...)
	}
	other.unharmed(t)
	const most = 300 << 20 // of 10 texts of 100 MiB, 10 messages of 1 GiB and 10 results of 300 MB
	if grown := residentMemory(t, s.ProxyPID()) - before; grown > most {
		t.Errorf("the proxy grew by %d MiB", grown>>20)
	}
}

func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kB, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return kB << 10
		}
	}
	t.Fatal("there is no VmRSS")
	return 0
}

// TestInvariant11Claimed is what a client says of itself: labelled so, worth
// nothing, and harmless wherever it is shown.
func TestInvariant11Claimed(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	const evil = "\x1b]0;owned\x07\x1b[2J=cmd|' /C calc'!A0 <script>alert(1)</script>\r\n2024-01-01 forged line\u202e"
	parameters := []string{
		"user", "alice", "database", testkit.OrdersDatabase, "application_name", evil,
		"options", `-c pgcustos.reason=bob\ is\ at\ the\ desk`, "_pq_.user", "bob", "host", "bob.example.com",
	}
	c := dialTLS(t, s).answer(startup(parameters...), passwordMessage(testkit.AlicePassword)...)
	c.told("42704", "host") // no such setting: nothing that is made up comes through
	c = dialTLS(t, s).enter(startup(parameters[:len(parameters)-2]...), testkit.AlicePassword)
	c.ask("SET application_name = 'bob@corp.example.com'")
	c.ask("SELECT 'behind it' /* \x1b[31m */")
	r := c.session()
	if r.ApplicationName != evil || r.Reason != "bob is at the desk" || r.Principal.Account != "alice" || r.User != "alice" {
		t.Errorf("recorded as %s, application %q, reason %q, user %q", r.Principal.Account, r.ApplicationName, r.Reason, r.User)
	}
	renamed := await(t, s, "the statement", func(r *journal.Record) bool {
		return r.Source.Address == c.source && strings.Contains(r.Text, "behind it")
	})
	if renamed.Principal.Account != "alice" || renamed.ApplicationName != "bob@corp.example.com" {
		t.Errorf("recorded as %s, application %q", renamed.Principal.Account, renamed.ApplicationName)
	}
	// A name that is somebody else's opens nothing.
	c = dialTLS(t, s).answer(startup("user", "carol", "database", testkit.OrdersDatabase, "application_name", "alice"), passwordMessage(testkit.CarolPassword)...)
	c.told("28P01", "")

	session := []string{"--session", r.Session}
	for _, args := range [][]string{{"cat"}, append([]string{"query"}, session...), append([]string{"query", "--format", "jsonl"}, session...), append([]string{"tail", "-n", "100"}, session...)} {
		out := auditOutput(t, s, args...)
		for _, act := range []string{"\x1b", "\x07", "\r", "\u202e", "\n2024-01-01 forged"} {
			if strings.Contains(out, act) {
				t.Errorf("audit %s prints %q", args, act)
			}
		}
		if !strings.Contains(out, "behind it") {
			t.Errorf("audit %s does not show the statement", args)
		}
	}
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(log, []byte("\x1b")) || bytes.Contains(log, []byte("\n2024-01-01 forged")) {
		t.Error("the log can be forged")
	}
	labelled := false
	for line := range strings.Lines(auditOutput(t, s, "cat")) {
		var record struct {
			Claimed map[string]any `json:"claimed"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if record.Claimed["reason"] == "bob is at the desk" {
			labelled = true
		}
	}
	if !labelled {
		t.Error("what the client claims is not labelled so")
	}
}

// TestInvariant6Pipelined sends texts that the parser has not seen in one write,
// all of one length: each has to be judged and recorded as what it is, and not as
// what stands beside it in a buffer.
func TestInvariant6Pipelined(t *testing.T) {
	t.Parallel()
	s := site(t)
	bystand(t, s)
	const known = "SELECT 'seen before'          "
	texts := []string{
		known,
		"SELECT 'one' /* pipelined */  ",
		"SELECT 'two' /* pipelined */  ",
		"DELETE FROM orders /* piped */",
		"SELECT 'three' /* pipelined */",
		"DROP TABLE orders /* piped */ ",
		"SELECT 'four' /* pipelined */ ",
	}
	for name, form := range map[string]func(string) []byte{"simple": query, "extended": extended} {
		t.Run(name, func(t *testing.T) {
			c := alice(t, s)
			c.ask(known)
			var b []byte
			for _, sql := range texts {
				b = append(b, form(strings.Replace(sql, "pipe", name[:4], 1))...)
			}
			c.write(b...)
			for _, sql := range texts {
				if strings.HasPrefix(sql, "SELECT") {
					c.ready()
					continue
				}
				e := c.complaint("ERROR", "42501", "permission denied: ")
				c.settle()
				r := await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
				if want := strings.Replace(sql, "pipe", name[:4], 1); r.Text != want {
					t.Errorf("%q is denied as %q", want, r.Text)
				}
			}
			for _, sql := range texts {
				c.statement(strings.Replace(sql, "pipe", name[:4], 1))
			}
		})
	}
}
