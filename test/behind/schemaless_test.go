package behind

import (
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// schemaless has to do with what is in no schema: a role is in none that is denied, an
// extension can take with it what is, and a schema can be named by who the session is.
func schemaless(t *testing.T, s *testkit.Site) {
	t.Helper()
	bob := func(texts ...string) *session {
		c := connect(t, s, "bob", testkit.BobPassword, "options='-c pgcustos.role=app_rw_orders'")
		for _, sql := range texts {
			if err := c.run(sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
		return c
	}
	bob("SET search_path = public", "CREATE TEMP TABLE pg_temp.granted (n int)", "GRANT SELECT ON pg_temp.granted TO private")
	denied(t, bob("SET ROLE private"), "CREATE SCHEMA AUTHORIZATION CURRENT_USER", "private.*")
	denied(t, bob(), "ALTER EXTENSION plpgsql SET SCHEMA public", "private.*")
}
