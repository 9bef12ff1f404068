package pgparse

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// A name behind a dot calls a function where there is no column of that name.
func TestCallsByNotation(t *testing.T) {
	for _, c := range []struct {
		text    string
		class   statement.Class
		tags    statement.Tag
		objects string
	}{
		{"SELECT ('SELECT * FROM private.x'::text).ts_stat", function, dynamic, "ts_stat private.x"},
		{"SELECT ($1::text).ts_stat", function, dynamic, "ts_stat"},
		{"SELECT s.ts_stat FROM unnest(ARRAY['TABLE x']) s", function, dynamic, "ts_stat"},
		{"SELECT (SELECT 'TABLE x'::text).ts_stat", function, dynamic, "ts_stat"},
		{"SELECT (a[1]).ts_stat, a[1].ts_stat FROM b", function, dynamic, "ts_stat"},
		{"SELECT ('/etc/passwd'::text).pg_read_file", function, external, "pg_read_file"},
		{"SELECT p.pid.pg_terminate_backend FROM pg_stat_activity p", function, statement.TagMaintenance, "pg_terminate_backend"},
		{"SELECT ('private.q'::regclass).nextval", write, 0, "nextval private.q"},
		{"SELECT q.nextval FROM unnest(ARRAY['q'::regclass]) q", write, 0, "nextval *.*"},
		{`SELECT (5).U&"lo\005funlink"`, function | write, destructive, "lo_unlink"},
		{"SELECT s.t.pg_reload_conf FROM s.t", function, statement.TagMaintenance, "pg_reload_conf"},
		{"SELECT ('https://h'::text).http_get", function, external, "http_get"},
		{"DO $$DECLARE a text := ('x'::text).pg_read_file; BEGIN END$$", function, external, "pg_read_file"},
		{"SELECT ('x'::text).own, (5).own2, (ARRAY[a]).own3, (1 + 1).own4, (current_user).own5 FROM b", function, 0, "own own2 own3 own4 own5"},
	} {
		j := Read(c.text)
		if j.Class&c.class != c.class || j.Tags&c.tags != c.tags || j.Class&statement.Unknown != 0 {
			t.Errorf("%s\n\t%s | %s, want %s | %s %s", c.text, j.Class, j.Tags, c.class, c.tags, j.Cause)
		}
		var names []string
		for _, o := range j.Statements[0].Objects {
			names = append(names, qualified(o))
		}
		for _, want := range strings.Fields(c.objects) {
			if got := " " + strings.Join(names, " ") + " "; !strings.Contains(got, " "+want+" ") {
				t.Errorf("%s\n\tobjects %q, want %s", c.text, got, want)
			}
		}
	}
	for text, want := range map[string]string{
		"SELECT (a).f, (a.b).g.h, (lower(a)).i, ($1).j FROM t":                      "f g h i j",
		"SELECT s.f FROM generate_series(1, 3) s":                                   "f",
		"SELECT unnest.f, x.g FROM unnest(ARRAY[1]), f(1) AS x (y), t":              "f g",
		"SELECT t.f, a.t.f, x.g FROM t, f() AS x (g int), f() WITH ORDINALITY AS o": "",
		"SELECT (a).lower, (a).f, (a).f FROM t ORDER BY (a).f":                      "f",
		"DO $$BEGIN PERFORM (a).f FROM t; END$$":                                    "f",
		"CREATE VIEW v AS SELECT (a).f FROM t":                                      "",
		"SELECT (5).f":                                                              "",
		"UPDATE t SET a.b = (c).d, e[1] = 1":                                        "d",
	} {
		if got := strings.Join(Read(text).Statements[0].Fields, " "); got != want {
			t.Errorf("%s: fields %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"SELECT t.a, (t).b, (t.c).d, t.http, s.http_get, (SELECT t FROM t).e, (f).g.h, ('x'::pair).own, ('x'::s.text).own FROM t",
		"SELECT ('x'::text).upper, (5).abs, t.random FROM t", "UPDATE t SET a.b = 1, c[1] = 2 WHERE id = 1",
	} {
		if j := Read(text); j.Class&function != 0 || j.Tags != 0 || j.Cause != "" {
			t.Errorf("%s: %s | %s %s", text, j.Class, j.Tags, j.Cause)
		}
	}
}
