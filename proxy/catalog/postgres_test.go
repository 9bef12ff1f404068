package catalog

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const readerRole = "catalog_reader"

// server starts a PostgreSQL with a role that may only log in.
func server(t *testing.T) *testkit.Postgres {
	t.Helper()
	p, err := testkit.StartPostgres(t.Context(), "", testkit.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	run(t, p, "postgres", "CREATE ROLE "+readerRole+" LOGIN PASSWORD 'reader-secret'")
	run(t, p, "postgres", "CREATE ROLE app LOGIN PASSWORD 'app-secret'")
	return p
}

func run(t *testing.T, p *testkit.Postgres, database string, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := p.Exec(t.Context(), database, sql); err != nil {
			t.Fatalf("%.100s: %v", sql, err)
		}
	}
}

func connect(t *testing.T, p *testkit.Postgres) *backend.Backend {
	t.Helper()
	b, err := backend.Open(backend.Options{
		Name: "test", Hosts: []backend.Host{{Host: p.Host, Port: p.Port}}, ConnectTimeout: 20 * time.Second,
		Credentials: map[string]backend.Credential{readerRole: backend.Password(func() (*auth.Secret, error) { return auth.NewSecret([]byte("reader-secret")), nil })},
		TLS:         &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.CA.Pool(), SessionTicketsDisabled: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// log is what a catalog says.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open makes a catalog whose readings come through the channel.
func open(t *testing.T, p *testkit.Postgres, opt Options) (*Catalog, chan Reading, *log) {
	t.Helper()
	readings, said := make(chan Reading, 1000), &log{}
	opt.Role = readerRole
	c := Open(opt, []string{"app"}, connect(t, p), Hooks{
		Signing: func(string, string, backend.Signature) error { return errors.New("nothing is signed here") },
		Read: func(r Reading) {
			select {
			case readings <- r:
			default:
			}
		},
		Log: slog.New(slog.NewTextHandler(said, nil)),
	})
	t.Cleanup(c.Close)
	return c, readings, said
}

// await waits until the database is in a state.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		if !ok() {
			return errors.New(what)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func current(d *Database) bool {
	_, ok := d.View()
	return ok
}

// knows tells what is known to stand behind a relation of public's.
func knows(d *Database, rel string) string {
	s, _ := d.View()
	if s == nil {
		return "?"
	}
	h := s.Find(&statement.Object{Schema: "public", Name: rel, Kind: "relation", Use: statement.UseRead}, nil)
	var out []string
	for i := range s.Behind(h) {
		if r, counts := s.Step(h, i, statement.UseRead); counts {
			out = append(out, r.Schema+"."+r.Name)
		}
	}
	return strings.Join(out, " ")
}

const catalogSQL = `
CREATE SCHEMA private;
CREATE TABLE private.salaries (id int, amount numeric);
CREATE TABLE private.log (line text);
CREATE FUNCTION private.mask(numeric) RETURNS numeric LANGUAGE sql VOLATILE SECURITY DEFINER AS 'SELECT $1';
CREATE VIEW public.pay AS SELECT id, private.mask(amount) AS m FROM private.salaries;
CREATE VIEW public.pay2 AS SELECT * FROM public.pay WHERE id > (SELECT count(*) FROM private.log);
CREATE MATERIALIZED VIEW public.paid AS SELECT * FROM public.pay;
CREATE TABLE public.events (at date) PARTITION BY RANGE (at);
CREATE TABLE private.events_1 PARTITION OF public.events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY RANGE (at);
CREATE TABLE private.events_1a PARTITION OF private.events_1 DEFAULT;
CREATE TABLE public.box (x text);
CREATE RULE r AS ON INSERT TO public.box DO ALSO INSERT INTO private.log VALUES (new.x);
CREATE VIEW public."a ""b"",
	 c'; DROP TABLE x -- \x07" AS SELECT * FROM private.salaries;
ALTER ROLE app SET search_path = private, public;
GRANT USAGE ON SCHEMA private TO app;
`

// TestCatalogOfAServer is one server for all, which the last of them stops.
func TestCatalogOfAServer(t *testing.T) {
	p := server(t)
	t.Run("behind names", func(t *testing.T) { behindNames(t, p) })
	t.Run("paths", func(t *testing.T) { paths(t, p) })
	t.Run("outgrown", func(t *testing.T) { outgrown(t, p) })
	t.Run("now and then", func(t *testing.T) { nowAndThen(t, p) })
	t.Run("followed", func(t *testing.T) { followed(t, p) })
}

// paths holds where names are looked for against the server's own word.
func paths(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	run(t, p, "postgres", "CREATE SCHEMA app", `CREATE SCHEMA "Mixed"`, `CREATE SCHEMA "a""b, c"`, "CREATE SCHEMA closed",
		`GRANT USAGE ON SCHEMA app, "Mixed", "a""b, c" TO app`)
	s, err := Look(t.Context(), connect(t, p), readerRole, "postgres", []string{"app"}, 64<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		`"$user", public`, `private,PUBLIC`, `"Mixed",mixed`, "\tpublic\n ,  private ", `"a""b, c", public`, `nowhere, closed, public`,
		`pg_catalog, private`, `private, pg_catalog`, `public, public, "public"`, ``, `$user, public`, `"PUBLIC"`, `information_schema`,
	} {
		want, err := p.Value(t.Context(), "postgres", "SET ROLE app; SELECT set_config('search_path', $path$"+path+"$path$, false); SELECT array_to_string(current_schemas(true), '|')")
		if err != nil {
			t.Fatal(err)
		}
		sc, known := s.Scope("app", path)
		if got := strings.Join(sc.schemas, "|"); !known || got != want {
			t.Errorf("%q leads to %q, %v; the server goes to %q", path, got, known, want)
		}
	}
	for _, path := range []string{`"`, `,`, `public,`, `public private`, `a.b`} {
		if _, known := s.Scope("app", path); known && p.Exec(t.Context(), "postgres", "SELECT set_config('search_path', $path$"+path+"$path$, false)") != nil {
			t.Errorf("%q, which the server refuses, is known", path)
		}
	}
}

func behindNames(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	run(t, p, "postgres", catalogSQL)
	s, err := Look(t.Context(), connect(t, p), readerRole, "postgres", []string{"app"}, 64<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := Still(s)
	hostile := "a \"b\",\n\t c'; DROP TABLE x -- \\x07"
	for rel, want := range map[string]string{
		"pay":      "private.salaries private.mask",
		"paid":     "public.pay private.salaries private.mask",
		hostile:    "private.salaries",
		"events":   "private.events_1 private.events_1a",
		"box":      "",
		"salaries": "",
	} {
		if got := knows(d, rel); !sameWords(got, want) {
			t.Errorf("%q: %q, want %q", rel, got, want)
		}
	}
	if got := knows(d, "pay2"); !sameWords(got, "public.pay private.log private.salaries private.mask") {
		t.Errorf("pay2: %q", got)
	}
	path, known := s.Path("app")
	sc, ok := s.Scope("app", path)
	if !known || !ok || strings.Join(sc.schemas, " ") != "pg_catalog private public" {
		t.Errorf("app looks in %q, %v: %v, %v", path, known, sc.schemas, ok)
	}
	h := s.Find(&statement.Object{Name: "mask", Kind: "function", Use: statement.UseExecute}, &sc)
	if f := s.Self(h, statement.UseExecute); f.Schema != "private" || f.Facts != "volatile, security definer, sql" {
		t.Errorf("mask is %+v", f)
	}
	if path, known := s.Path(readerRole); !known || path != `"$user", public` {
		t.Errorf("the server's search_path is %q, %v", path, known)
	}
	if h := s.Find(&statement.Object{Name: "pg_class", Kind: "relation", Use: statement.UseRead}, &sc); !h.Found || s.Behind(h) != 0 {
		t.Errorf("pg_class is %+v", h)
	}
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	seen := map[string]int{}
	for _, w := range x {
		seen[w]++
	}
	for _, w := range y {
		seen[w]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

// outgrown has 100,000 tables: rows of pg_class are all that is read of one. They fit
// into what they may take, and where they do not nothing is kept of them.
func outgrown(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	run(t, p, "postgres", "CREATE DATABASE many")
	columns, err := p.Value(t.Context(), "many", `SELECT string_agg(CASE attname WHEN 'oid' THEN '(1000000 + g)::oid'
		WHEN 'relname' THEN '(''table_'' || g)::name' ELSE 'c.' || quote_ident(attname) END, ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'pg_class'::regclass AND attnum > 0 AND NOT attisdropped`)
	if err != nil {
		t.Fatal(err)
	}
	run(t, p, "many", "CREATE TABLE public.t (x int); CREATE VIEW public.v AS SELECT * FROM public.t")
	run(t, p, "many", "SET allow_system_table_mods = on; INSERT INTO pg_class SELECT "+columns+
		" FROM pg_class c, generate_series(1, 100000) g WHERE c.oid = 'public.t'::regclass")
	c, readings, said := open(t, p, Options{Refresh: time.Hour, Memory: 64 << 20})
	d := c.Database("many")
	d.Enter()
	r := <-readings
	t.Logf("it was read as %+v", r)
	if r.Result != Done || r.Objects < 100_000 || r.Size > 40<<20 {
		t.Error("that is not what is there, or more than it may take")
	}
	if knows(d, "v") != "public.t" || !current(d) {
		t.Error("what is in it is not known")
	}
	small, readings, said2 := open(t, p, Options{Refresh: time.Hour, Memory: 4 << 20})
	e := small.Database("many")
	e.Enter()
	if r := <-readings; r.Result != TooLarge || r.Size != 0 {
		t.Errorf("with less memory it was read as %+v", r)
	}
	if current(e) || knows(e, "v") != "?" {
		t.Error("something is known of what does not fit")
	}
	await(t, "the log does not say it", func() bool { return strings.Contains(said2.String(), "larger than its share") })
	if s := said.String(); strings.Contains(s, "WARN") {
		t.Errorf("the log says %s", s)
	}
}

// followed has the server go and come, and what is in it change.
func followed(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	run(t, p, "postgres", "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE VIEW v AS SELECT * FROM a")
	if err := p.Shutdown(); err != nil {
		t.Fatal(err)
	}
	// Nobody is there when it begins.
	c, readings, said := open(t, p, Options{Refresh: time.Hour, Memory: 16 << 20})
	d := c.Database("postgres")
	if s, _ := d.View(); s != nil {
		t.Error("something is known of a server that is not there")
	}
	// Nor is a session, and yet it is read as soon as it can be.
	c.Ahead([]string{"postgres"})
	if r := <-readings; r.Result != Failed {
		t.Errorf("it was read as %+v", r)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "it is not read when it is there", func() bool { return current(d) })
	if got := knows(d, "v"); got != "public.a" {
		t.Errorf("v is %q", got)
	}
	d.Enter()
	// A change that a session says it makes: at once nothing is as of now, and then
	// the new view is known.
	d.Changed()
	if current(d) {
		t.Error("it is as of now while it is changed")
	}
	run(t, p, "postgres", "CREATE OR REPLACE VIEW v AS SELECT * FROM b")
	d.Settled()
	await(t, "the new view is not known", func() bool { return current(d) && knows(d, "v") == "public.b" })

	// Without its rights nothing new is known, and the old goes on to deny.
	run(t, p, "postgres", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
	d.Settled()
	await(t, "the log does not say that it cannot be read", func() bool { return strings.Contains(said.String(), "permission denied for database") })
	if current(d) || knows(d, "v") != "public.b" {
		t.Errorf("v is %q, as of now: %v", knows(d, "v"), current(d))
	}

	// Another catalog of the same servers takes over what is known.
	next, _, _ := open(t, p, Options{Refresh: time.Hour, Memory: 16 << 20})
	next.Adopt(c)
	if e := next.Database("postgres"); knows(e, "v") != "public.b" || current(e) {
		t.Errorf("the next one knows %q", knows(e, "v"))
	}
	run(t, p, "postgres", "GRANT CONNECT ON DATABASE postgres TO "+readerRole)
	await(t, "it is not read again", func() bool { return current(d) })
	d.Leave()
	next.Close()
	c.Close()
	if current(d) || c.Database("another") != nil {
		t.Error("a catalog that is closed tells what is as of now")
	}
}

// nowAndThen makes changes that came another way: they are found by and by, and where
// no session is in the database, nobody looks.
func nowAndThen(t *testing.T, p *testkit.Postgres) {
	t.Helper()
	run(t, p, "postgres", "CREATE DATABASE changing")
	run(t, p, "changing", "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE VIEW v AS SELECT * FROM a")
	c, readings, _ := open(t, p, Options{Refresh: 200 * time.Millisecond, Memory: 16 << 20})
	d := c.Database("changing")
	d.Enter()
	await(t, "v is not known", func() bool { return knows(d, "v") == "public.a" })
	run(t, p, "changing", "CREATE OR REPLACE VIEW v AS SELECT * FROM b")
	await(t, "the new view is not found", func() bool { return knows(d, "v") == "public.b" })
	d.Leave()
	await(t, "what nobody looks at is as of now", func() bool { return !current(d) })
	for len(readings) > 0 {
		<-readings
	}
	for i := range mostDatabases + 1 {
		if e := c.Database(fmt.Sprintf("db%d", i)); (e == nil) != (i >= mostDatabases-1) {
			t.Errorf("database %d: %v", i, e)
		}
	}
}
