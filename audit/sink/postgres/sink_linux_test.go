package postgres_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestInitIsIdempotent(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	done, err := postgres.Init(t.Context(), admin(p, name), writer())
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != 1 || !strings.Contains(done[0], "may log in") {
		t.Errorf("run again, it did: %q", done)
	}
	if got := number(t, p, name, "SELECT count(*) FROM pgcustos.migrations"); got != 1 {
		t.Errorf("%d migrations", got)
	}
	if err := p.Exec(t.Context(), name, "INSERT INTO pgcustos.migrations VALUES (99, 'x')"); err != nil {
		t.Fatal(err)
	}
	if err := p.Exec(t.Context(), name, "DELETE FROM pgcustos.migrations WHERE version < 99; UPDATE pgcustos.migrations SET version = 2"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Init(t.Context(), admin(p, name), writer()); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer schema: %v", err)
	}
}

// TestInitByARoleWithoutSuperuser makes the schema as a role that may create roles
// and owns the database.
func TestInitByARoleWithoutSuperuser(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	for _, sql := range []string{"CREATE ROLE dba LOGIN CREATEROLE PASSWORD 'dba'", "CREATE DATABASE audit OWNER dba"} {
		if err := p.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	o := options(p, "audit")
	o.User, o.Password = "dba", password("dba")
	for range 2 {
		if _, err := postgres.Init(t.Context(), o, writer()); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	j := openJournal(t, dir)
	fill(t, j, 10)
	want := head(t, j)
	stop(start(t, dir, postgres.New(options(p, "audit"))))
	if got := number(t, p, "audit", "SELECT count(*) FROM pgcustos.events"); got < int(want) {
		t.Errorf("%d events, want %d", got, want)
	}
}

// TestRolesAreHeld shows what the writer and the reader cannot do.
func TestRolesAreHeld(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	dir := t.TempDir()
	fill(t, openJournal(t, dir), 1)
	stop(start(t, dir, postgres.New(options(p, name))))
	for _, tt := range []struct{ role, sql, state string }{
		{"audit_writer", "SELECT count(*) FROM pgcustos.events", "42501"},
		{"audit_writer", "DELETE FROM pgcustos.events", "42501"},
		{"audit_writer", "UPDATE pgcustos.events SET text = ''", "42501"},
		{"audit_writer", "TRUNCATE pgcustos.events", "42501"},
		{"audit_writer", "UPDATE pgcustos.positions SET sequence = 0", "42501"},
		{"audit_writer", "SELECT pgcustos.advance('proxy-1', (SELECT stream FROM pgcustos.delivered('proxy-1')), 1, now())", "22023"},
		{"audit_writer", "SELECT * FROM pgcustos.statements", "42501"},
		{"audit_writer", "CREATE TABLE pgcustos.x ()", "42501"},
		{"audit_reader", "SELECT count(*) FROM pgcustos.statements", ""},
		{"audit_reader", "SELECT count(*) FROM pgcustos.sessions", ""},
		{"audit_reader", "SELECT count(*) FROM pgcustos.events", "42501"},
		{"audit_reader", "INSERT INTO pgcustos.events SELECT", "42501"},
		{"audit_reader", "SELECT pgcustos.claim('proxy-1', 's')", "42501"},
		{"audit_reader", "SELECT pgcustos.make_partition('2030-01-01')", "42501"},
	} {
		_, err := p.Value(t.Context(), name, "SET ROLE "+tt.role+"; "+tt.sql)
		if got := sqlstate(err); got != tt.state {
			t.Errorf("%s: %s: SQLSTATE %q, want %q (%v)", tt.role, tt.sql, got, tt.state, err)
		}
	}
}

func sqlstate(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

func TestViews(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	dir := t.TempDir()
	j := openJournal(t, dir)
	prepared := j.Prepare(session())
	record(t, j, &audit.Event{Type: audit.Authentication, Decision: audit.Denied, Claimed: "mallory", Cause: "no_such_account"})
	record(t, j, &audit.Event{Type: audit.SessionStart, Prepared: prepared, Decision: audit.Allowed})
	fill(t, j, 1)
	drop := statementEvent(prepared, "DROP TABLE orders")
	drop.Class, drop.Tags, drop.Decision, drop.Incident = statement.DDL, statement.TagDestructive|statement.TagDDL, audit.Denied, "7F3K"
	record(t, j, drop)
	grant := statementEvent(prepared, "GRANT x TO y")
	grant.Class, grant.Tags = statement.Role, statement.TagPrivilege
	grant.Parameters = &audit.Parameters{
		Form: audit.ParametersFull, Count: 3, Digest: [32]byte{0: 0xef},
		Values: []byte("\x00\x17\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x0042" + "\x02\x19\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x19\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\xff,"),
	}
	grant.Trace = statement.Trace{ID: [16]byte{15: 0xab}, Span: [8]byte{7: 0xcd}}
	record(t, j, grant)
	record(t, j, &audit.Event{Type: audit.SessionEnd, Prepared: prepared, Cause: "client_closed"})
	stop(start(t, dir, postgres.New(options(p, name))))
	for sql, want := range map[string]string{
		"SELECT account FROM pgcustos.logins WHERE decision = 'denied'":                                                    "mallory",
		"SELECT text || ' ' || result || ' ' || rows || ' ' || duration FROM pgcustos.statements WHERE result IS NOT NULL": "SELECT * FROM orders WHERE customer = 'ACME' AND id = 0 completed 1 00:00:00.00035",
		"SELECT count(*)::text FROM pgcustos.statements":                                                                   "3",
		"SELECT text FROM pgcustos.destructive":                                                                            "DROP TABLE orders",
		"SELECT text FROM pgcustos.schema_changes":                                                                         "DROP TABLE orders",
		"SELECT text FROM pgcustos.privilege_changes":                                                                      "GRANT x TO y",
		"SELECT parameters[1] || (parameters[2] IS NULL)::text || parameters[3] || left(parameters_digest, 4) FROM pgcustos.statements WHERE parameters IS NOT NULL": "42true\ufffd\ufffd,ef00",
		"SELECT record #>> '{parameters,values,1,value}' IS NULL FROM pgcustos.statements WHERE parameters IS NOT NULL":                                              "t",
		"SELECT trace_id || ' ' || span_id FROM pgcustos.statements WHERE trace_id IS NOT NULL":                                                                      "000000000000000000000000000000ab 00000000000000cd",
		"SELECT incident FROM pgcustos.denied WHERE type = 'statement'":                                                                                              "7F3K",
		"SELECT end_cause || ' ' || host(source) FROM pgcustos.sessions":                                                                                             "client_closed 10.20.3.4",
		"SELECT objects::text || class::text || fingerprint FROM pgcustos.events WHERE type = 'statement' LIMIT 1":                                                   "{public.orders}{READ}fedcba9876543210",
		"SELECT record #>> '{principal,upn}' FROM pgcustos.statements LIMIT 1":                                                                                       "alice@corp.example.com",
		"SELECT count(DISTINCT tableoid)::text FROM pgcustos.events":                                                                                                 "1",
	} {
		if got, err := p.Value(t.Context(), name, sql); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", sql, got, err, want)
		}
	}
}

// TestHostileTexts stores what a database cannot hold as it is.
func TestHostileTexts(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	dir := t.TempDir()
	j := openJournal(t, dir)
	texts := []string{
		"a\x00b", "\xff\xfe", `\u0000`, "\\\x00\\u0000", "\\.\n\\N\t", "\x1b]0;x\x07", "=cmd|' /C calc'!A0", "<script>alert(1)</script>",
		"\u202e\u2028\u00ad", "\xed\xa0\x80", "\U0001F600\"}],", strings.Repeat("\x00", 1<<20), strings.Repeat("x", 20<<20), "",
	}
	c := session()
	c.ApplicationName, c.Reason, c.Principal.Account, c.Database = "\x00\xff", "\\\x00", strings.Repeat("\x00é", 3000), "{\"a\"\x00"
	prepared := j.Prepare(c)
	for _, text := range texts {
		e := statementEvent(prepared, text)
		e.Objects = []statement.Object{{Schema: "a\x00\xff", Name: `{",\}`, Kind: "table"}}
		record(t, j, e)
	}
	stop(start(t, dir, postgres.New(options(p, name))))
	for _, r := range readAll(t, dir) {
		if r.Type != audit.Statement {
			continue
		}
		whole := r.TextLength()
		_ = r.LoadText(1 << 20)
		if got := number(t, p, name, "SELECT coalesce(text_length, 0) FROM pgcustos.statements WHERE sequence = "+itoa(r.Sequence)+" AND text_digest = '"+r.TextDigest+"'"); int64(got) != whole {
			t.Errorf("text of %d bytes: a length of %d", whole, got)
		}
		got, err := p.Value(t.Context(), name, "SELECT encode(COALESCE(text_raw, convert_to(text, 'UTF8')), 'escape') = "+
			"encode(decode('"+hexOf(r.Text)+"', 'hex'), 'escape') FROM pgcustos.events WHERE sequence = "+itoa(r.Sequence))
		if err != nil || got != "t" {
			t.Errorf("text of %d bytes %.20q: %q, %v", len(r.Text), r.Text, got, err)
		}
	}
	if got := number(t, p, name, "SELECT count(*) FROM pgcustos.statements WHERE record ->> 'type' = 'statement'"); got != len(texts) {
		t.Errorf("%d statements, want %d", got, len(texts))
	}
}

func readAll(t *testing.T, dir string) []*journal.Record {
	t.Helper()
	r, err := journal.OpenReader(journal.ReaderOptions{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []*journal.Record
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
}
