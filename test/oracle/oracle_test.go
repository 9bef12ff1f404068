package oracle

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

var (
	smiths = flag.Int("sqlsmith", 300, "how many statements of sqlsmith's to send")
	seed   = flag.Int("seed", 1, "what sqlsmith begins with")
)

var corpora = flag.String("corpora", "", "files of statements to send as well, with commas between them")

// What hides is on record as what it is.
func TestOracle(t *testing.T) {
	s := newSite(t)
	asSuperuser(t, s, "ALTER ROLE "+testkit.LabRole+" SUPERUSER")
	t.Run("evasions", func(t *testing.T) { testEvasions(t, s) })
	t.Run("clients", func(t *testing.T) { testClients(t, s) })
	t.Run("current role", func(t *testing.T) { testCurrentRole(t, s) })
	t.Run("doubt", func(t *testing.T) { testDoubt(t, s) })
	t.Run("sqlsmith", func(t *testing.T) { testSmith(t, s) })
	if *corpora != "" {
		t.Run("corpora", func(t *testing.T) { testCorpora(t, s) })
	}
}

func testEvasions(t *testing.T, s *testkit.Site) {
	t.Helper()
	all := run(t, s, "evasions", "schema.sql", readEvasions(t, "evasions.txt"))
	report(t, "evasions", all)
	beyond(t, all)
	mustFind(t, all)
}

// What the programs that come with PostgreSQL send.
func testClients(t *testing.T, s *testkit.Site) {
	t.Helper()
	all := run(t, s, "clients", "schema.sql", readStatements(t, filepath.Join(corpusDir, "clients.sql"), 0))
	report(t, "clients", all)
	mustFind(t, all)
}

// What sqlsmith makes is wild, but it does to its tables what it says. It is no
// superuser: it calls whatever there is.
func testSmith(t *testing.T, s *testkit.Site) {
	t.Helper()
	items := smith(t, s, *smiths)
	asSuperuser(t, s, "ALTER ROLE "+testkit.LabRole+" NOSUPERUSER; ALTER ROLE "+testkit.LabRole+" SET statement_timeout = '300ms'")
	all := run(t, s, "sqlsmith", "schema.sql", items)
	report(t, "sqlsmith", all)
	mustFind(t, all)
}

func testCorpora(t *testing.T, s *testkit.Site) {
	t.Helper()
	var items []item
	for i, file := range strings.Split(*corpora, ",") {
		items = append(items, readStatements(t, file, i)...)
	}
	all := run(t, s, "corpora", "", items)
	report(t, *corpora, all)
	mustFind(t, all)
}
