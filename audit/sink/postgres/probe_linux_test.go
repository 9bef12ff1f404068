package postgres_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func probe(t *testing.T, o postgres.Options) (sink.Probed, error) {
	t.Helper()
	return postgres.New(o).Probe(t.Context())
}

// TestProbe asks a server of its own: roles belong to the whole cluster.
func TestProbe(t *testing.T) {
	p := testkit.NewPostgres(t, testkit.PostgresOptions{})
	name := database(t, p)
	got, err := probe(t, options(p, name))
	if err != nil || got.Certificate == nil || got.Says == "" || len(got.Faults)+len(got.Warnings) > 0 {
		t.Fatalf("as audit init leaves it: %+v, %v", got, err)
	}
	for _, test := range []struct {
		do, undo      string
		fault, warned string
	}{
		{"GRANT SELECT, DELETE ON pgcustos.events TO audit_writer", "REVOKE SELECT, DELETE ON pgcustos.events FROM audit_writer", "", "may DELETE pgcustos.events, may SELECT pgcustos.events"},
		{"GRANT audit_owner TO audit_writer", "REVOKE audit_owner FROM audit_writer", "", "can become audit_owner"},
		{"ALTER ROLE audit_writer SUPERUSER", "ALTER ROLE audit_writer NOSUPERUSER", "", "is a superuser"},
		{"REVOKE INSERT ON pgcustos.events FROM audit_writer", "GRANT INSERT ON pgcustos.events TO audit_writer", "INSERT INTO pgcustos.events", ""},
		{
			"REVOKE EXECUTE ON FUNCTION pgcustos.claim FROM audit_writer", "GRANT EXECUTE ON FUNCTION pgcustos.claim TO audit_writer",
			"pgcustos.claim", "",
		},
		{"INSERT INTO pgcustos.migrations VALUES (1000, '')", "DELETE FROM pgcustos.migrations WHERE version = 1000", "", "a newer one"},
		{
			"UPDATE pgcustos.migrations SET version = -version", "UPDATE pgcustos.migrations SET version = -version",
			"run pgcustos audit init", "",
		},
	} {
		if err := p.Exec(t.Context(), name, test.do); err != nil {
			t.Fatal(err)
		}
		got, err := probe(t, options(p, name))
		if err != nil {
			t.Errorf("%s: %v", test.do, err)
		}
		if !one(got.Faults, test.fault) || !one(got.Warnings, test.warned) {
			t.Errorf("%s: faults %q, warnings %q", test.do, got.Faults, got.Warnings)
		}
		if err := p.Exec(t.Context(), name, test.undo); err != nil {
			t.Fatal(err)
		}
	}
}

// one tells whether lines are the one that holds part; none where that is empty.
func one(lines []string, part string) bool {
	if part == "" {
		return len(lines) == 0
	}
	return len(lines) == 1 && slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, part) })
}

func TestProbeFails(t *testing.T) {
	p := testkit.SharedPostgres(t)
	name := database(t, p)
	for _, test := range []struct {
		what, want string
		change     func(*postgres.Options)
	}{
		{"no schema", "audit init", func(o *postgres.Options) { o.Database = "postgres" }},
		{"no database", "3D000", func(o *postgres.Options) { o.Database = "nowhere" }},
		{"wrong password", "28P01", func(o *postgres.Options) { o.Password = password("wrong") }},
		{"another CA", "certificate", func(o *postgres.Options) { o.TLS = &tls.Config{MinVersion: tls.VersionTLS12} }},
		{"nobody there", "refused", func(o *postgres.Options) { o.Port = 1 }},
	} {
		o := options(p, name)
		test.change(&o)
		if _, err := probe(t, o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}
