package secrets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// plant is a text in which a secret reaches the proxy.
type plant struct {
	class string
	text  string // %s is the secret
	// hidden are the modes under which it must not be seen; in the others it has to.
	hidden []string
	card   bool // the secret is what the operator's pattern matches
}

var (
	always  = modes
	by      = []string{"masked", "none"}
	columns = strings.Repeat("abcdefgh, ", 2_000)
)

// plants are the classes of secrets in texts.
var plants = []plant{
	{"role's password", "CREATE ROLE planted PASSWORD '%s'", always, false},
	{"role's password", "ALTER ROLE nobody_here WITH ENCRYPTED PASSWORD E'%s' VALID UNTIL 'infinity'", always, false},
	{"role's password", "alter/**/user nobody_here/**/password/**/$x$%s$x$", always, false},
	{"role's password", "SELECT 1; ALTER ROLE nobody_here PASSWORD U&'%s'; SELECT 2", always, false},
	{"role's password in a body", "DO $$ BEGIN ALTER ROLE nobody_here PASSWORD '%s'; END $$", always, false},
	{"role's password in a body", "DO $$ BEGIN EXECUTE 'ALTER ROLE nobody_here PASSWORD ''%s'''; END $$", always, false},
	{"role's password in a body", "CREATE FUNCTION planted() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE nobody_here PASSWORD '%s'; END $$", always, false},
	{"role's password in no SQL", "ALTER ROL nobody_here PASSWORD '%s'", always, false},
	{"role's password in no SQL", "ALTER ROLE nobody_here PASSWORD %s", always, false},
	{"role's password in no SQL", "ALTER ROLE nobody_here PASSWORD '%s", always, false},
	{"user mapping", "CREATE USER MAPPING FOR nobody_here SERVER nowhere OPTIONS (user 'u', password '%s')", always, false},
	{"user mapping", "ALTER USER MAPPING FOR nobody_here SERVER nowhere OPTIONS (SET password '%s')", always, false},
	{"server", "CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h', password '%s')", always, false},
	{"subscription", "CREATE SUBSCRIPTION planted CONNECTION 'host=h user=u password=%s' PUBLICATION p WITH (connect = false)", always, false},
	{"subscription", "ALTER SUBSCRIPTION planted CONNECTION 'postgresql://u:%s@h/db'", always, false},
	{"dblink", "SELECT dblink_connect('c', 'host=h password=%s')", always, false},
	{"dblink", "SELECT * FROM dblink('host=h password=%s', 'SELECT 1') AS t(x int)", always, false},
	{"pgcrypto", "SELECT pgp_sym_encrypt('x', '%s')", always, false},
	{"argument's name", "SELECT no_such_function(login => 'x', password => '%s')", always, false},
	{"argument's name", "DO $$ BEGIN CALL nothing(login => 'x', api_token => '%s'); END $$", always, false},
	{"program", "COPY nothing TO PROGRAM 'PGPASSWORD=%s psql -h h'", always, false},
	{"setting", "SET app.token = '%s'", always, false},
	{"setting", "SELECT set_config('app.secret', '%s', false)", always, false},
	{"setting", "SET app.token = %s", always, false},
	{"setting in an error", "SELECT set_config('app.secret', '%s'::int::text, false)", always, false},
	{"setting in an error", "DEALLOCATE ALL; PREPARE hides AS SELECT set_config('app.secret', '%s'::text::int::text, false); EXECUTE hides", always, false},
	{"role's password, put together", "SELECT format('ALTER ROLE nobody_here PASSWORD %%L', '%s')", always, false},
	{"argument of EXECUTE", "DEALLOCATE ALL; PREPARE takes (text) AS SELECT set_config('app.secret', $1, false); EXECUTE takes ('%s')", always, false},
	{"comment", "SELECT 1 -- postgres://u:%s@h/db", always, false},
	{"connection string", "SELECT 'postgresql://u:%s@h/db'", always, false},

	{"literal", "SELECT '%s' AS a", by, false},
	{"literal", "SELECT no_such_function(E'%s', 1)", by, false},
	{"literal", "SELECT $q$%s$q$::int", by, false},
	{"literal in an error", "DO $$ BEGIN RAISE EXCEPTION 'no %s'; END $$", by, false},
	{"literal in no SQL", "SELEC nothing", nil, false},
	{"literal in a comment", "SELECT 1 /* it was '%s' */ -- %[1]s", by, false},
	{"literal in a list", "COPY (SELECT '%s') TO STDOUT", by, false},
	{"literal in a blob", "SELECT " + columns + "'%s'", by, false},
	{"literal beyond max_text", "SELECT " + strings.Repeat(columns, 10) + "'%s'", always, false},
	{"comment beyond max_text", "SELECT " + strings.Repeat(columns, 10) + "1 -- %s", by, false},
	{"literal that is spooled", "SELECT " + strings.Repeat(columns, 60) + "'%s'", always, false},
	{"prepared", "PREPARE planted AS SELECT '%s'::text; EXECUTE planted; DEALLOCATE planted", by, false},
	{"cursor", "BEGIN; DECLARE c CURSOR FOR SELECT '%s'::text; FETCH c; ROLLBACK", by, false},

	{"card", "SELECT '%s' AS a", always, true},
	{"card", "SELECT %s", always, true},
	{"card in an error", "SELECT 'x %s'::int, '%[1]s'::date", always, true},
	{"card in an error", "DO $$ BEGIN RAISE EXCEPTION 'no %s'; END $$", always, true},
	{"card in a comment", "SELECT 1 /* %s */", always, true},
	{"card in no SQL", "SELEC '%s' /* %[1]s */", always, true},
	{"card in a body", "DO $$ BEGIN PERFORM '%s'; END $$", always, true},
	{"card in a blob", "SELECT " + columns + "1 -- %s", always, true},
	{"card beyond max_text", "SELECT " + strings.Repeat(columns, 10) + "1 -- %s", always, true},
	{"card that is spooled", "SELECT " + strings.Repeat(columns, 60) + "1 -- %s", always, true},
}

// garden is what was planted, by where it may not be seen.
type garden struct {
	n      int
	hidden map[string]string // secret → its class and mode
	shown  map[string]string
}

func (g *garden) secret(class string) string {
	g.n++
	s := fmt.Sprintf("Pl4nted%04dx", g.n)
	g.hidden[s] = class
	return s
}

func (g *garden) card(class string) string {
	g.n++
	s := fmt.Sprintf("411111111111%04d", g.n)
	g.hidden[s] = class
	return s
}

func (g *garden) of(p *plant, mode string) string {
	class := p.class + ", " + mode
	s := g.secret
	if p.card {
		s = g.card
	}
	secret := s(class)
	for _, m := range p.hidden {
		if m == mode {
			return secret
		}
	}
	delete(g.hidden, secret)
	g.shown[secret] = class
	return secret
}

// sow sends everything under the rule of a mode. What the server says does not
// matter.
func (g *garden) sow(t *testing.T, p *place, mode string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn := p.enter(t, mode, fmt.Sprintf(" application_name='%s' options='-c pgcustos.reason=CHG-%s'", g.card("application name, "+mode), g.card("reason, "+mode)))
	for i := range plants {
		at := &plants[i]
		if !strings.Contains(at.text, "%s") {
			_, _ = conn.Exec(ctx, at.text).ReadAll()
			continue
		}
		_, _ = conn.Exec(ctx, fmt.Sprintf(at.text, g.of(at, mode))).ReadAll()
		text := fmt.Sprintf(at.text, g.of(at, mode))
		if _, err := conn.Prepare(ctx, "", text, nil); err == nil {
			conn.ExecPrepared(ctx, "", nil, nil, nil).Read()
		}
	}
	g.sowValues(ctx, t, conn, mode)
	if _, err := conn.Exec(ctx, "SELECT * FROM the_end_"+mode).ReadAll(); err == nil {
		t.Error("there is such a table")
	}
	if err := conn.Close(ctx); err != nil {
		t.Error(err)
	}
}

// sowValues plants what is no text: parameters, data of COPY, and what the client
// says of itself.
func (g *garden) sowValues(ctx context.Context, t *testing.T, conn *pgconn.PgConn, mode string) {
	t.Helper()
	class := func(s string) string { return s + ", " + mode }
	values := []string{
		"host=h password=" + g.secret(class("connection string as a value")),
		g.card(class("card as a value")),
		strings.Repeat("x ", 20_000) + g.card(class("card in a long value")),
	}
	if mode != "full" {
		values = append(values, g.secret(class("value")))
	}
	for _, v := range values {
		conn.ExecParams(ctx, "SELECT length($1::text)", [][]byte{[]byte(v)}, nil, nil, nil).Read()
		conn.ExecParams(ctx, "SELECT length($1::bytea)", [][]byte{[]byte(v)}, []uint32{17}, []int16{1}, nil).Read()
	}
	conn.ExecParams(ctx, "SELECT set_config('app.password', $1, false)", [][]byte{[]byte(g.secret(class("value of a setting")))}, nil, nil, nil).Read()
	for _, text := range []string{"ALTER ROLE nobody_here PASSWORD $1", "SELECT no_such_function(password => $1)", "SELECT ($1::text).length, no_such_function(secret => '')"} {
		conn.ExecParams(ctx, text, [][]byte{[]byte(g.secret(class("value of " + text)))}, []uint32{25}, nil, nil).Read()
	}
	_, _ = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS copied (a text PRIMARY KEY)").ReadAll()
	data := g.secret(class("data of COPY, in DETAIL and CONTEXT"))
	if _, err := conn.CopyFrom(ctx, strings.NewReader(data+"\n"+data+"\n"), "COPY copied FROM STDIN"); err == nil {
		t.Error("the key is not unique")
	}
	_, _ = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS numbers (a int)").ReadAll()
	if _, err := conn.CopyFrom(ctx, strings.NewReader(g.secret(class("data of COPY, in the error"))+"\n"), "COPY numbers FROM STDIN"); err == nil {
		t.Error("what is no number was taken for one")
	}
	_, _ = conn.Exec(ctx, "SET application_name = '"+g.card(class("application name that is set"))+"'; SELECT 1").ReadAll()
}

// logIns plants what clients log in with.
func (g *garden) logIns(t *testing.T, p *place) {
	t.Helper()
	wrong := g.secret("password that is wrong")
	if conn, err := pgconn.Connect(t.Context(), p.DSN("svc-orders", wrong, database("full"))); err == nil {
		t.Errorf("a wrong password logs in: %v", conn.Close(t.Context()))
	}
	for _, option := range []string{"app.token", "app.password"} {
		// Whether the server takes it or not.
		conn, err := pgconn.Connect(t.Context(), p.DSN("svc-orders", testkit.OrdersPassword, database("full"))+
			" options='-c "+option+"="+g.secret("start-up option "+option)+"'")
		if err == nil {
			_ = conn.Close(t.Context())
		}
	}
	for what, secret := range map[string]string{
		"person's password": testkit.AlicePassword, "service's password": testkit.OrdersPassword, "password for the directory": testkit.ReaderPassword,
	} {
		g.hidden[secret] = what
	}
	names, err := filepath.Glob(filepath.Join(p.Dir, "*.password"))
	if err != nil || len(names) < 5 {
		t.Fatalf("%d files of passwords, %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		g.hidden[strings.TrimSpace(string(b))] = "backend's password " + filepath.Base(name)
	}
	g.ticket(t, p)
}

// ticket logs alice in by a ticket, and plants a piece of it.
func (g *garden) ticket(t *testing.T, p *place) {
	t.Helper()
	cache := filepath.Join(t.TempDir(), "tickets")
	tickets, err := p.Controller.Kinit(t.Context(), cache, "alice", testkit.AlicePassword)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "psql", p.TicketDSN("alice", testkit.OrdersDatabase), "-XAtwc", "SELECT 'by ticket'")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8"}, tickets.Environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The cache ends with the ticket for the proxy, and the length of a second one that
	// is not there (ccache file format, version 4).
	b, err := os.ReadFile(cache)
	if err != nil || len(b) < 200 || string(b[len(b)-4:]) != "\x00\x00\x00\x00" {
		t.Fatalf("a cache of %d bytes, %v", len(b), err)
	}
	g.hidden[string(b[len(b)-52:len(b)-4])] = "ticket"
}
