// Package clients runs the programs that people use, directly and through the
// proxy: their answers have to agree.
package clients

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// tool is a client program of PostgreSQL's.
func tool(name string) string {
	if dir := os.Getenv("PGBIN"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join("/usr/lib/postgresql/15/bin", name)
}

// run runs a program and returns all that it says. An exit status other than 0
// is part of it.
func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(name), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8", "PGAPPNAME=" + name}
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && ctx.Err() == nil:
		out.WriteString(exit.String() + "\n")
	case err != nil:
		t.Fatalf("%s: %v\n%s", name, err, out.String())
	}
	return out.String()
}

// same compares what a program says directly and through the proxy.
func same(t *testing.T, direct, proxied string) {
	t.Helper()
	if direct == proxied {
		return
	}
	d, p := strings.Split(direct, "\n"), strings.Split(proxied, "\n")
	for i := range max(len(d), len(p)) {
		var a, b string
		if i < len(d) {
			a = d[i]
		}
		if i < len(p) {
			b = p[i]
		}
		if a != b {
			t.Fatalf("line %d differs:\ndirectly: %s\nthrough the proxy: %s\n\nall of it, through the proxy:\n%s", i+1, a, b, proxied)
		}
	}
}

const session = `
\set VERBOSITY verbose
\pset null ∅
SELECT 1 AS one, 'zwei' AS "Zwei", NULL AS nothing, ARRAY[1,2] AS list;
CREATE TABLE things (id int PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT '2024-01-01Z');
INSERT INTO things SELECT i, 'thing ' || i FROM generate_series(1, 1000) i;
\d things
\dt
\df
\dn+
\l lab
SELECT count(*), sum(id) FROM things;
INSERT INTO things VALUES (1, 'twice');
INSERT INTO things VALUES (2000, NULL);
SELECT no_such_column FROM things;
SELEC 1;
BEGIN; INSERT INTO things VALUES (3000, 'x'); SELECT 1/0; SELECT 2; COMMIT;
SELECT count(*) FROM things WHERE id = 3000;
BEGIN;
SAVEPOINT a;
INSERT INTO things VALUES (1, 'again');
ROLLBACK TO a;
INSERT INTO things VALUES (3001, 'kept');
COMMIT;
SELECT name FROM things WHERE id = 3001;
SELECT 1; SELECT 2; SELECT 3/0; SELECT 4;
DO $$ BEGIN RAISE NOTICE 'a notice %', 7; RAISE WARNING 'a warning'; END $$;
PREPARE p(int) AS SELECT name FROM things WHERE id = $1;
EXECUTE p(7);
EXECUTE p(8);
DEALLOCATE p;
EXECUTE p(9);
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM things ORDER BY id;
FETCH 3 FROM c;
MOVE 10 IN c;
FETCH 2 FROM c;
CLOSE c;
COMMIT;
\set FETCH_COUNT 100
SELECT id FROM things ORDER BY id;
\unset FETCH_COUNT
SELECT 'a' AS x, 1 AS y \gdesc
SELECT format('SELECT %s', i) FROM generate_series(1, 3) i \gexec
SELECT id, name FROM things WHERE id < 4 \gx
COPY things (id, name) FROM STDIN;
4001	copied in
4002	with \\ and \t tab
\.
COPY things (id, name) FROM STDIN;
4003	fine
broken line
\.
COPY (SELECT id, name FROM things WHERE id > 4000 ORDER BY id) TO STDOUT;
COPY things TO '/no/such/place';
LISTEN news;
SET client_encoding = 'LATIN1';
SHOW client_encoding;
RESET client_encoding;
SET standard_conforming_strings = off;
SELECT 'plain';
RESET standard_conforming_strings;
SELECT E'\\x41', 'back\slash', U&'\0041', $q$dollar$q$;
EXPLAIN (COSTS OFF) SELECT * FROM things WHERE id = 1;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
SELECT twice(21);
CREATE VIEW few AS SELECT * FROM things WHERE id < 10;
\d+ few
VACUUM things;
ANALYZE things;
TRUNCATE things;
DELETE FROM things;
DROP FUNCTION twice(int);
DROP VIEW few;
DROP TABLE things;
\echo :SQLSTATE :LAST_ERROR_SQLSTATE
;
`

func TestPsqlSession(t *testing.T) {
	s := testkit.SharedSite(t)
	direct := run(t, session, "psql", "-X", "-a", s.LabDirect())
	proxied := run(t, session, "psql", "-X", "-a", s.LabProxied())
	same(t, direct, proxied)
	if !strings.Contains(direct, "division by zero") || !strings.Contains(direct, "copied in") {
		t.Fatalf("the session did not run:\n%s", direct)
	}
}

func TestPsqlCopyBackslash(t *testing.T) {
	s := testkit.SharedSite(t)
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte(strings.Repeat("7,seven\n", 50_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "CREATE TEMP TABLE rows (n int, name text);\n\\copy rows FROM '" + file + "' CSV\nSELECT count(*), sum(n) FROM rows;\n\\copy rows TO '" + file + ".out' CSV\n"
	same(t, run(t, script, "psql", "-X", s.LabDirect()), run(t, script, "psql", "-X", s.LabProxied()))
	in, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(file + ".out")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in, out) {
		t.Errorf("%d bytes went in, %d came out", len(in), len(out))
	}
}

func TestPgbench(t *testing.T) {
	s := testkit.SharedSite(t)
	run(t, "", "pgbench", "-i", "-q", "-s", "1", s.LabProxied())
	noFailure := regexp.MustCompile(`number of failed transactions: 0 `)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"select, simple", []string{"-S", "-M", "simple", "-c", "4", "-j", "2", "-t", "200"}},
		{"select, extended", []string{"-S", "-M", "extended", "-c", "4", "-j", "2", "-t", "200"}},
		{"select, prepared", []string{"-S", "-M", "prepared", "-c", "4", "-j", "2", "-t", "200"}},
		{"TPC-B, simple", []string{"-M", "simple", "-c", "4", "-j", "2", "-t", "50"}},
		{"TPC-B, extended", []string{"-M", "extended", "-c", "4", "-j", "2", "-t", "50"}},
		{"TPC-B, prepared", []string{"-M", "prepared", "-c", "4", "-j", "2", "-t", "50"}},
		{"a connection each", []string{"-S", "-C", "-c", "2", "-t", "10"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := run(t, "", "pgbench", append(append([]string{"-n"}, c.args...), s.LabProxied())...)
			if !noFailure.MatchString(out) || strings.Contains(out, "exit status") {
				t.Errorf("pgbench said:\n%s", out)
			}
		})
	}
	// What the transactions did adds up, as it does directly.
	sum := "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), count(*) FROM pgbench_history;"
	same(t, run(t, sum, "psql", "-X", "-At", s.LabDirect()), "t|600\n")
	run(t, "DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers;", "psql", "-X", s.LabProxied())
}

const dumped = `
CREATE SCHEMA arch;
CREATE TYPE arch.mood AS ENUM ('good', 'bad');
CREATE TABLE arch.people (id serial PRIMARY KEY, name text NOT NULL, mood arch.mood, data jsonb, photo bytea);
CREATE TABLE arch.events (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, p int REFERENCES arch.people) PARTITION BY RANGE (at);
CREATE TABLE arch.events_2024 PARTITION OF arch.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO arch.people (name, mood, data, photo) SELECT 'Müller ' || i, 'good', jsonb_build_object('n', i), decode(md5(i::text), 'hex') FROM generate_series(1, 500) i;
INSERT INTO arch.events (at, p) SELECT '2024-05-01'::timestamptz + i * interval '1 hour', 1 + i % 500 FROM generate_series(1, 2000) i;
CREATE INDEX ON arch.people (lower(name));
CREATE VIEW arch.happy AS SELECT * FROM arch.people WHERE mood = 'good';
CREATE FUNCTION arch.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON arch.people FOR EACH ROW EXECUTE FUNCTION arch.touch();
SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));
COMMENT ON TABLE arch.people IS 'people''s table';
`

func TestPgDumpAndRestore(t *testing.T) {
	s := testkit.SharedSite(t)
	run(t, dumped, "psql", "-X", "-v", "ON_ERROR_STOP=1", s.LabDirect())
	direct := run(t, "", "pg_dump", s.LabDirect())
	proxied := run(t, "", "pg_dump", s.LabProxied())
	same(t, unkeyed(direct), unkeyed(proxied))
	if !strings.Contains(proxied, "Müller 500") {
		t.Fatalf("the dump is not one:\n%.2000s", proxied)
	}
	archive := filepath.Join(t.TempDir(), "lab.dump")
	run(t, "", "pg_dump", "-Fc", "-f", archive, s.LabProxied())
	run(t, "DROP SCHEMA arch CASCADE; SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata;", "psql", "-X", s.LabDirect())
	if said := run(t, "", "pg_restore", "-j", "2", "-d", s.LabProxied(), archive); said != "" {
		t.Errorf("pg_restore said: %s", said)
	}
	same(t, unkeyed(direct), unkeyed(run(t, "", "pg_dump", s.LabDirect())))
	run(t, "DROP SCHEMA arch CASCADE; SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata;", "psql", "-X", s.LabProxied())
}

// A rule that keeps a session from a schema keeps PostgreSQL's own programs from nothing else:
// they empty search_path first.
func TestProgramsUnderARuleOfObjects(t *testing.T) {
	s := testkit.SharedSite(t)
	alice := s.DSN("alice", testkit.AlicePassword, testkit.OrdersDatabase)
	direct := s.Postgres.SocketDSN(testkit.OrdersDatabase)
	same(t, unkeyed(run(t, "", "pg_dump", "-s", "-t", "public.orders", direct)), unkeyed(run(t, "", "pg_dump", "-s", "-t", "public.orders", alice)))
	same(t, unkeyed(run(t, "", "pg_dump", "-s", "-N", "private", direct)), unkeyed(run(t, "", "pg_dump", "-s", "-N", "private", alice)))
	for _, kept := range [][]string{
		{"pg_dump", "-t", "private.salaries", alice},
		{"psql", "-X", "-c", "SELECT pg_catalog.set_config('search_path', '', false)", "-c", "SET search_path = private", "-c", "SELECT * FROM salaries", alice},
		{"psql", "-X", "-c", "SET search_path = ''", "-c", "SELECT * FROM private.salaries", alice},
	} {
		if said := run(t, "", kept[0], kept[1:]...); !strings.Contains(said, "permission denied") || !strings.Contains(said, "exit status") {
			t.Errorf("%q: %s", kept, said)
		}
	}
}

// unkeyed leaves out the key of \restrict, which is random in each dump.
func unkeyed(dump string) string {
	return regexp.MustCompile(`(?m)^\\(un)?restrict .*$`).ReplaceAllString(dump, `\${1}restrict`)
}
