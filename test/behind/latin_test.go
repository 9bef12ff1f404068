package behind

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// long is a name of 80 bytes in UTF-8, and of 40 in LATIN1, where it is not cut.
var long = strings.Repeat("ä", 40)

// latin is a rule of a database in LATIN1.
var latin = `
  - name: latin
    groups: [APP-Orders-Migrations]
    databases: [latin]
    sources: [127.0.0.0/8]
    kinds: [person]
    justification: everybody on this machine
    grant: {backend: orders, role: app_rw_orders, classes: [READ, MISC_SET], deny_objects: ["public.` + long + `"]}
`

// longNames has a denied name be longer than what the text is read as.
func longNames(t *testing.T, s *testkit.Site) {
	t.Helper()
	for _, do := range []struct{ database, sql string }{
		{"postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"},
		{"latin", `CREATE TABLE public.U&"` + strings.Repeat(`\00e4`, 40) + `" (a int); CREATE TABLE public.U&"\00f6" (a int)`},
		{"latin", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO app_rw_orders"},
	} {
		if err := s.Postgres.Exec(t.Context(), do.database, do.sql); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgconn.Connect(t.Context(), s.DSN("bob", testkit.BobPassword, "latin")+" client_encoding=UTF8 options='-c pgcustos.role=app_rw_orders'")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // it has answered
	c := &session{conn, t.Context()}
	denied(t, c, `SELECT * FROM public."`+long+`"`, long)
	if err := c.run(`SELECT * FROM public."ö"`); err != nil {
		t.Error(err)
	}
}
