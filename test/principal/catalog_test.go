package principal

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// behindNames: the catalog of a server without passwords is read by a certificate that
// names nobody, on record before it is signed; and PostgreSQL 18 tells where a session
// looks, also when that has been changed.
func behindNames(t *testing.T, s *testkit.Site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, s.DSN("alice", testkit.AlicePassword, ledger18))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // it has answered
	resolved := func(before, text string) string {
		if _, err := conn.Exec(ctx, before+text).ReadAll(); err != nil {
			t.Fatal(err)
		}
		list, err := s.Records(func(r *journal.Record) bool { return r.Type == audit.Statement && r.Text == text })
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %d records, %v", text, len(list), err)
		}
		r := list[len(list)-1]
		said := r.Resolution + " " + r.Doubt
		for _, o := range r.Resolved {
			said += fmt.Sprintf(" %s.%s/%s", o.Schema, o.Name, o.Through)
		}
		return said
	}
	const entries = "SELECT count(*) FROM entries"
	err = testkit.WaitFor(ctx, func() error {
		if said := resolved("", entries); said != "resolved  public.entries/name" {
			return fmt.Errorf("it is %s", said)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.LogTail())
	}
	for _, path := range []string{"SET search_path = pg_catalog, public", "SET search_path TO 'nowhere', \"public\""} {
		if _, err := conn.Exec(ctx, path).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if said := resolved("", entries); said != "resolved  public.entries/name" {
			t.Errorf("after %s it is %s", path, said)
		}
	}
	resolved("SET search_path = pg_temp, public; ", "SELECT 1")
	if said := resolved("", "SELECT 2 FROM entries LIMIT 1"); !strings.HasPrefix(said, "syntactic") {
		t.Errorf("where tables are made that are temporary without saying so, it is %s", said)
	}
	if said := resolved("SET search_path = public; ", "SELECT 1 FROM entries LIMIT 1"); !strings.HasPrefix(said, "syntactic") {
		t.Errorf("in one text with another path it is %s", said)
	}
	signed, err := s.Records(func(r *journal.Record) bool {
		return r.Type == audit.Issued && r.Role == "catalog_ledger" && r.Database == ledger18
	})
	if err != nil || len(signed) != 1 || !strings.HasSuffix(signed[0].Detail, "to read the catalog") || signed[0].Backend != ledger18 {
		t.Errorf("%d signatures to read the catalog: %+v, %v", len(signed), signed, err)
	}
}
