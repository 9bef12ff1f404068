package behind

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	reader   = "catalog_reader"
	password = "reader-1618-Catalog"
)

// behindSQL lets app_ro_orders read the salaries by other names. The rule of the
// readers denies private.*.
const behindSQL = `
CREATE ROLE catalog_reader LOGIN PASSWORD '` + password + `';
GRANT CONNECT ON DATABASE orders TO catalog_reader;
SET ROLE owner_orders;
CREATE VIEW public.pay AS SELECT * FROM private.salaries;
CREATE VIEW public.pay_sum AS SELECT sum(amount) FROM public.pay;
CREATE VIEW public.harmless AS SELECT id FROM public.orders;
CREATE TABLE private.events (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE public.events_2020 PARTITION OF private.events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE FUNCTION public.raise(text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM 1; END';
GRANT SELECT ON public.pay, public.pay_sum, public.harmless, public.events_2020 TO app_ro_orders;
`

// TestBehindNames is one site for all, for it takes some seconds to make.
func TestBehindNames(t *testing.T) {
	s := testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.ExtraRules = makers + latin
		c.Catalog = fmt.Sprintf("{role: %s, password_file: %s.password, refresh: 1s}", reader, reader)
		if err := os.WriteFile(filepath.Join(c.Dir, reader+".password"), []byte(password), 0o600); err != nil {
			panic(err) // the directory is the site's own
		}
	})
	if err := s.Postgres.Exec(t.Context(), testkit.OrdersDatabase, behindSQL); err != nil {
		t.Fatal(err)
	}
	alice := connect(t, s, "alice", testkit.AlicePassword)
	known(t, s, alice)

	for sql, behind := range map[string]string{
		"SELECT * FROM public.pay":                                    "private.salaries",
		"SELECT * FROM pay_sum":                                       "private.salaries",
		"EXPLAIN SELECT * FROM public.pay":                            "private.salaries",
		"TABLE public.events_2020":                                    "private.events",
		"PREPARE p AS SELECT * FROM pay":                              "private.salaries",
		"WITH x AS (SELECT * FROM public.pay) SELECT count(*) FROM x": "private.salaries",
	} {
		denied(t, alice, sql, behind)
	}
	looker := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders -c pgcustos.reason=look'")
	denied(t, looker, "SELECT ('x' || id).raise FROM public.orders", "class FUNCTION")
	if err := looker.run("SELECT (o).id FROM public.orders o"); err != nil {
		t.Error(err)
	}
	if err := alice.run("SELECT * FROM public.harmless"); err != nil {
		t.Error(err)
	}
	onRecord(t, s)

	t.Run("replaced", func(t *testing.T) { replaced(t, s, alice) })
	t.Run("reloaded", func(t *testing.T) { reloaded(t, s, alice) })
	t.Run("portal", func(t *testing.T) { portal(t, s) })
	t.Run("astray", func(t *testing.T) { astray(t, s) })
	t.Run("emptied", func(t *testing.T) { emptied(t, s) })
	t.Run("in no schema", func(t *testing.T) { schemaless(t, s) })
	t.Run("long names", func(t *testing.T) { longNames(t, s) })
	t.Run("goes on", func(t *testing.T) { goesOn(t, s) })
	t.Run("reread", func(t *testing.T) { reread(t, s) })
	t.Run("startup", func(t *testing.T) { startup(t, s) })
	t.Run("path", func(t *testing.T) { path(t, s) })
	t.Run("check", func(t *testing.T) { check(t, s) })
}

// session is a client's.
type session struct {
	*pgconn.PgConn
	ctx context.Context //nolint:containedctx // the test's
}

func connect(t *testing.T, s *testkit.Site, user, password string, more ...string) *session {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), strings.Join(append(more, s.DSN(user, password, testkit.OrdersDatabase)), " "))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &session{conn, t.Context()}
}

func (c *session) run(sql string) error {
	_, err := c.Exec(c.ctx, sql).ReadAll()
	return err
}

// eventually waits until the catalog has it.
func eventually(t *testing.T, s *testkit.Site, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := testkit.WaitFor(ctx, try); err != nil {
		t.Fatalf("%v\n%s", err, s.LogTail())
	}
}

// known waits until statements are resolved.
func known(t *testing.T, s *testkit.Site, c *session) {
	t.Helper()
	eventually(t, s, func() error {
		if err := c.run("SELECT * FROM public.harmless"); err != nil {
			return err
		}
		return resolution(s, "SELECT * FROM public.harmless", "resolved")
	})
}

// resolution is that of the newest statement of a text.
func resolution(s *testkit.Site, text, want string) error {
	list, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Statement && r.Text == text })
	if err != nil {
		return err
	}
	if len(list) == 0 || list[len(list)-1].Resolution != want {
		return fmt.Errorf("of %d statements %q the last is not %s", len(list), text, want)
	}
	return nil
}

func denied(t *testing.T, c *session, sql, behind string) {
	t.Helper()
	if err := refusal(c.run(sql), behind); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
}

// refusal checks that the error tells what is behind the name.
func refusal(err error, behind string) error {
	var e *pgconn.PgError
	if err == nil {
		return errors.New("it was answered")
	}
	if !errors.As(err, &e) || e.Code != "42501" || !strings.Contains(e.Message+e.Detail, behind) {
		return fmt.Errorf("the answer does not tell it: %w", err)
	}
	return nil
}

func onRecord(t *testing.T, s *testkit.Site) {
	t.Helper()
	for text, want := range map[string]string{
		"SELECT * FROM public.pay":      "denied resolved [private.salaries table read view ]",
		"SELECT * FROM public.harmless": "allowed resolved [public.orders table read view ]",
		"SELECT * FROM pay_sum":         "denied resolved [public.pay_sum view read name  public.pay view read view  private.salaries table read view ]",
	} {
		list, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Statement && r.Text == text })
		if err != nil || len(list) == 0 {
			t.Fatalf("%q: %d records, %v", text, len(list), err)
		}
		r := list[len(list)-1]
		var objects []string
		for _, o := range r.Resolved {
			objects = append(objects, strings.Join([]string{o.Schema + "." + o.Name, o.Kind, o.Use, o.Through, o.Facts}, " "))
		}
		if got := fmt.Sprintf("%s %s %v", r.Decision, r.Resolution, objects); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// replaced has a view become one of a denied table while a session reads it: past the
// proxy, which is found by and by, and through it.
func replaced(t *testing.T, s *testkit.Site, alice *session) {
	t.Helper()
	if err := s.Postgres.Exec(t.Context(), testkit.OrdersDatabase, "CREATE OR REPLACE VIEW public.harmless AS SELECT amount::int AS id FROM private.salaries"); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, func() error { return refusal(alice.run("SELECT * FROM public.harmless"), "private.salaries") })

	// What a session changes itself is not resolved to what was before.
	bob := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=migrate_orders'")
	for _, sql := range []string{"BEGIN", "CREATE OR REPLACE VIEW public.harmless AS SELECT id FROM public.orders", "SELECT count(*) FROM public.harmless"} {
		if err := bob.run(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	eventually(t, s, func() error { return resolution(s, "SELECT count(*) FROM public.harmless", "syntactic") })
	denied(t, alice, "SELECT * FROM public.harmless", "private.salaries")
	if err := bob.run("COMMIT"); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, func() error { return alice.run("SELECT * FROM public.harmless") })
	known(t, s, alice)

	// A temporary table stands before one of its name.
	for _, create := range []string{"CREATE TEMP TABLE customers (x int)", "PREPARE p AS SELECT 1; CREATE TEMP TABLE customers AS EXECUTE p"} {
		bob := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=migrate_orders'")
		if err := bob.run(create); err != nil {
			t.Fatalf("%s: %v", create, err)
		}
		known(t, s, alice) // the catalog was read since
		if err := bob.run("SELECT count(*) FROM customers"); err != nil {
			t.Fatal(err)
		}
		if err := resolution(s, "SELECT count(*) FROM customers", "syntactic"); err != nil {
			t.Errorf("%s: %v", create, err)
		}
	}

	// A function's facts.
	if err := bob.run("SELECT public.raise('x')"); err != nil {
		t.Fatal(err)
	}
	r := s.Await(t, "the function", func(r *journal.Record) bool { return r.Text == "SELECT public.raise('x')" })
	if len(r.Resolved) != 1 || r.Resolved[0].Facts != "volatile, security definer, plpgsql" {
		t.Errorf("the function is %+v", r.Resolved)
	}
}

// reloaded: what was known goes on to deny at once under another configuration.
func reloaded(t *testing.T, s *testkit.Site, alice *session) {
	t.Helper()
	if err := s.WriteConfig(func(c *testkit.SiteConfig) { c.Catalog = strings.Replace(c.Catalog, "refresh: 1s", "refresh: 2s", 1) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r := s.Await(t, "the reload", func(r *journal.Record) bool { return r.Type == audit.Configuration && r.Cause == "reload" })
	if !strings.Contains(r.Change, "catalog.refresh: 1s becomes 2s") {
		t.Errorf("the change is %s", r.Change)
	}
	denied(t, alice, "SELECT * FROM public.pay", "private.salaries")
	known(t, s, alice)
}

// portal has a name stand for a COMMIT, which is never denied, if only the server took
// its definition: it does not, for there is one of that name.
func portal(t *testing.T, s *testkit.Site) {
	t.Helper()
	err := s.Postgres.Exec(t.Context(), testkit.OrdersDatabase, `CREATE TABLE public.salaries (employee text);
		GRANT SELECT ON public.salaries TO app_ro_orders;
		GRANT USAGE ON SCHEMA private TO app_ro_orders; GRANT SELECT ON private.salaries TO app_ro_orders`)
	if err != nil {
		t.Fatal(err)
	}
	standIn(t, connect(t, s, "alice", testkit.AlicePassword))
}

// standIn prepares a statement, has the texts run and search_path lead to what is denied,
// and defines it again as a COMMIT.
func standIn(t *testing.T, c *session, texts ...string) {
	t.Helper()
	if _, err := c.Prepare(c.ctx, "s", "SELECT employee FROM salaries LIMIT 2", nil); err != nil {
		t.Fatal(err)
	}
	for _, sql := range append(texts, "SET search_path = private, public") {
		if err := c.run(sql); err != nil {
			t.Fatal(err)
		}
	}
	f := c.Frontend()
	f.Send(&pgproto3.Parse{Name: "s", Query: "COMMIT"})
	f.Send(&pgproto3.Sync{})
	f.Send(&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"})
	f.Send(&pgproto3.Execute{Portal: "p"})
	f.Send(&pgproto3.Sync{})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for ready := 0; ready < 2; {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			ready++
		case *pgproto3.ErrorResponse:
			codes = append(codes, m.Code)
		case *pgproto3.DataRow:
			t.Errorf("a row of a denied table: %s", m.Values)
		default:
		}
	}
	if !slices.Equal(codes, []string{"42P05", "42501"}) {
		t.Errorf("the answers are %v", codes)
	}
}

// makers are rules: for those who say so two that give nothing but READ, else one that
// gives more than the readers', and keeps its people from the same.
const makers = `
  - name: orders-lookers
    groups: [APP-Orders-Migrations]
    databases: [orders]
    sources: [127.0.0.0/8]
    kinds: [person]
    justification: everybody on this machine
    reason: ^look$
    grant: {backend: orders, role: app_rw_orders, classes: [READ]}

  - name: orders-observed
    groups: [APP-Orders-Migrations]
    databases: [orders]
    sources: [127.0.0.0/8]
    kinds: [person]
    justification: everybody on this machine
    reason: ^watch$
    grant: {backend: orders, role: app_rw_orders, classes: [READ], mode: observe}

  - name: orders-makers
    groups: [APP-Orders-Migrations]
    databases: [orders]
    sources: [127.0.0.0/8]
    kinds: [person]
    justification: everybody on this machine
    grant:
      backend: orders
      role: app_rw_orders
      classes: [READ, WRITE, FUNCTION, DDL, ROLE, MISC, MISC_SET]
      tags: [ddl, procedural, dynamic_sql, role_change, privilege, bulk_export]
      deny_objects: [private.*]
`

// astray has names in what a statement runs found in another schema than those before it.
func astray(t *testing.T, s *testkit.Site) {
	t.Helper()
	err := s.Postgres.Exec(t.Context(), testkit.OrdersDatabase, `CREATE ROLE private; GRANT private TO app_rw_orders;
		GRANT CREATE, USAGE ON SCHEMA public TO app_rw_orders; GRANT USAGE ON SCHEMA private TO app_rw_orders, private;
		GRANT SELECT ON private.salaries, public.salaries TO app_rw_orders, private;
		CREATE FUNCTION public.lead() RETURNS text LANGUAGE sql AS $$SELECT set_config('search_path', 'private', true)$$`)
	if err != nil {
		t.Fatal(err)
	}
	const each = "FOR r IN SELECT * FROM salaries LOOP RAISE NOTICE '%', r; END LOOP; END$$"
	for _, texts := range [][]string{
		{"DO $$DECLARE r record; BEGIN SET LOCAL search_path = private; " + each},
		{"DO $$DECLARE r record; BEGIN PERFORM set_config('search_path', 'private', true); " + each},
		{"DO $$DECLARE r record; BEGIN PERFORM public.lead(); " + each},
		{"DO $$DECLARE r record; BEGIN SET LOCAL ROLE private; " + each},
		{"CREATE FUNCTION public.peek() RETURNS SETOF text LANGUAGE sql SET search_path = private AS 'SELECT employee FROM salaries'"},
		{"CREATE FUNCTION public.peek() RETURNS SETOF text LANGUAGE sql AS 'SELECT employee FROM salaries'"},
		{"SELECT set_config('search_path', 'private', true), query_to_xml('SELECT * FROM salaries', true, true, '')"},
		{"SELECT public.lead(), query_to_xml('SELECT * FROM salaries', true, true, '')"},
		{"SELECT public.lead(), table_to_xml('salaries'::text::regclass, true, true, '')"},
		{"PREPARE p (text) AS SELECT employee FROM salaries WHERE $1 <> ''", "EXECUTE p (set_config('search_path', 'private', false))"},
		{"SET ROLE private", "SELECT employee FROM salaries"},
		// What an operator, a view or a trigger would run later, and nobody see.
		{"CREATE FUNCTION public.leads(int) RETURNS text LANGUAGE sql AS $$SELECT pg_catalog.set_config('search_path', 'private', false)$$"},
		{"CREATE FUNCTION public.leads(int) RETURNS void LANGUAGE plpgsql AS $$BEGIN SET search_path = private; END$$"},
		{"CREATE VIEW public.leading AS SELECT pg_catalog.set_config('search_path', 'private', false)"},
		{"ALTER ROLE CURRENT_USER SET search_path = private"},
		{"ALTER DATABASE orders SET search_path FROM CURRENT"},
		{"ALTER FUNCTION public.raise(text) SET search_path = private, public"},
		// What the text does not tell.
		{"DO $$BEGIN EXECUTE 'SELECT * FROM pri' || 'vate.salaries'; END$$"},
		{"SELECT ('SELECT to_tsvector(employee) FROM private.salaries'::text).ts_stat"},
		{"SELECT s.ts_stat FROM unnest(ARRAY['SELECT to_tsvector(employee) FROM private.salaries']) s"},
		{"SELECT database_to_xml(true, true, '')"},
		{"SELECT most_common_vals FROM pg_stats WHERE tablename = 'salaries'"},
		// By another name nobody knows yet what is behind it.
		{"BEGIN", "ALTER VIEW public.pay RENAME TO q"},
		{"ALTER TABLE pay_sum SET SCHEMA other"},
		{"ALTER SCHEMA public RENAME TO other"},
		{"DO $$BEGIN ALTER VIEW public.pay RENAME TO q; END$$"},
	} {
		bob := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
		last := len(texts) - 1
		for _, sql := range append([]string{"SELECT count(*) FROM salaries", "DO $$BEGIN PERFORM * FROM salaries; END$$"}, texts[:last]...) {
			if err := bob.run(sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
			if strings.HasPrefix(sql, "DO") { // what was a DO may have changed search_path
				_ = bob.Close(bob.ctx)
				bob = connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
			}
		}
		denied(t, bob, texts[last], "private.*")
		_ = bob.Close(bob.ctx)
	}
	bob := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
	standIn(t, bob, "DO $$BEGIN IF false THEN DEALLOCATE s; END IF; END$$")
}

// reread has SQL within a literal read under another standard_conforming_strings than the
// one that it was judged under: there a backslash before a quote makes the rest run.
func reread(t *testing.T, s *testkit.Site) {
	t.Helper()
	const (
		off    = "SET standard_conforming_strings = off"
		body   = `$$BEGIN PERFORM '\' || '; PERFORM 1 / (0 * count(*)) FROM private.salaries; --'; ` + "\nEND$$"
		escape = `DO E'BEGIN PERFORM \'\\\' || \'; PERFORM 1 / (0 * count(*)) FROM private.salaries; --\';\nEND'`
	)
	for _, texts := range [][]string{
		{off, escape},
		{off + "; DO " + body},
		{"SELECT set_config('standard_conforming_strings', 'off', false); DO " + body},
		{"CREATE OR REPLACE FUNCTION public.later() RETURNS void LANGUAGE plpgsql AS " + body, off, "SELECT public.later()"},
	} {
		bob := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
		var err error
		for _, sql := range texts {
			err = cmp.Or(err, bob.run(sql))
		}
		if err := refusal(err, "private.*"); err != nil {
			t.Errorf("%q: %v", texts, err)
		}
	}
	bob := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
	if _, err := bob.Prepare(bob.ctx, "later", "DO "+body, nil); err != nil {
		t.Fatal(err)
	}
	if err := refusal(cmp.Or(bob.run(off), bob.ExecPrepared(bob.ctx, "later", nil, nil, nil).Read().Err), "private.*"); err != nil {
		t.Errorf("prepared: %v", err)
	}
}

// startup sets what a SET would be denied for, in each way that a start-up knows.
func startup(t *testing.T, s *testkit.Site) {
	t.Helper()
	try := func(user, password, options string, parameters ...string) error {
		c, err := pgconn.ParseConfig(s.DSN(user, password, testkit.OrdersDatabase))
		if err != nil {
			t.Fatal(err)
		}
		c.RuntimeParams["options"] = options
		for i := 0; i < len(parameters); i += 2 {
			c.RuntimeParams[parameters[i]] = parameters[i+1]
		}
		conn, err := pgconn.ConnectConfig(t.Context(), c)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context()) //nolint:errcheck // it is judged by its answer
		_, err = conn.Exec(t.Context(), "SELECT employee FROM salaries").ReadAll()
		return err
	}
	for _, c := range []struct{ options, name, value, lacks string }{
		{"-c session_replication_role=replica -c row_security=off", "", "", "tag destructive"},
		{"-c work_mem=1MB --Session-Replication-Role=REPLICA", "", "", "tag destructive"},
		{"", "session_replication_role", "replica", "tag destructive"},
		{"-c local_preload_libraries=x", "", "", "tag external_io"},
		{"-O", "", "", "tag privilege"},
		{"-c standard_conforming_strings=off", "", "", "tag dynamic_sql"},
		{"-c search_path=private", "", "", "private.*"},
		{"", "search_path", "private", "private.*"},
	} {
		name, value := c.name, c.value
		if name == "" {
			name, value = "application_name", "x"
		}
		if err := refusal(try("alice", testkit.AlicePassword, c.options, name, value), c.lacks); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	r := s.Await(t, "the refusal", func(r *journal.Record) bool { return r.Missing == "tag external_io" })
	if r.Type != audit.Authorization || r.Decision != audit.Denied || r.Cause != "setting_not_allowed" {
		t.Errorf("on record is %+v", r)
	}
	if err := try("alice", testkit.AlicePassword, "-c statement_timeout=60s -c row_security=on -c my.own='--;'", "lock_timeout", "60s", "DateStyle", "ISO"); err != nil {
		t.Errorf("what is harmless: %v", err)
	}
	// Without MISC_SET what drivers send, and no more.
	const looker = "-c pgcustos.role=app_rw_orders -c pgcustos.reason=look "
	if err := try("bob", testkit.BobPassword, looker+"-c jit=off -c IntervalStyle=iso_8601", "TimeZone", "UTC", "client_encoding", "UTF8", "extra_float_digits", "2", "DateStyle", "ISO, MDY", "application_name", "x"); err != nil {
		t.Errorf("what drivers send: %v", err)
	}
	if err := refusal(try("bob", testkit.BobPassword, looker+"-c statement_timeout=1s"), "class MISC_SET"); err != nil {
		t.Error(err)
	}
	// Where the rule gives dynamic SQL, but keeps from objects that it could reach.
	if err := refusal(try("bob", testkit.BobPassword, "-c pgcustos.role=app_rw_orders -c standard_conforming_strings=off"), "private.*"); err != nil {
		t.Error(err)
	}
	// Where denials are observed only, they are on record.
	if err := try("bob", testkit.BobPassword, "-c pgcustos.role=app_rw_orders -c pgcustos.reason=watch -c statement_timeout=60s"); err != nil {
		t.Error(err)
	}
	r = s.Await(t, "what is observed", func(r *journal.Record) bool {
		return r.Type == audit.Authorization && r.Decision == audit.WouldDeny
	})
	if r.Rule != "orders-observed" || r.Missing != "class MISC_SET" || !strings.Contains(r.Detail, "statement_timeout") {
		t.Errorf("on record is %+v", r)
	}
}

// path has names without a schema mean something else.
func path(t *testing.T, s *testkit.Site) {
	t.Helper()
	// By the role's own setting: decision 8 takes the name for public's.
	err := s.Postgres.Exec(t.Context(), testkit.OrdersDatabase, `ALTER ROLE app_ro_orders SET search_path = private, public;
		GRANT USAGE ON SCHEMA private TO app_ro_orders; GRANT SELECT ON private.salaries TO app_ro_orders;
		CREATE VIEW private.hidden AS SELECT 1 AS one; GRANT SELECT ON private.hidden TO app_ro_orders;
		CREATE VIEW public.hidden AS SELECT 2 AS one; GRANT SELECT ON public.hidden TO app_ro_orders`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s, func() error {
		c := connect(t, s, "ivan", testkit.IvanPassword)
		defer c.Close(c.ctx) //nolint:errcheck // it has answered
		return refusal(c.run("SELECT one FROM hidden"), "private.hidden")
	})
}

// check tries the catalog as an operator does before a start.
func check(t *testing.T, s *testkit.Site) {
	t.Helper()
	if err := s.Postgres.Exec(t.Context(), testkit.OrdersDatabase, "GRANT USAGE ON SCHEMA private TO "+reader+"; GRANT SELECT ON private.salaries TO "+reader); err != nil {
		t.Fatal(err)
	}
	out, _ := s.Run(t.Context(), "check", "--config", s.ConfigFile) // the lab has other faults
	for _, want := range []string{"catalog of orders: ", "role " + reader + ": may read 1 table in orders"} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
}
