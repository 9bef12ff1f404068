package hostile

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestInvariant9JournalBudget lets one account write until its budget is used up,
// and fill the disk, while nothing may be deleted because a sink is dead: others
// work, come in and are denied, all of it on record.
func TestInvariant9JournalBudget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget, code, message string
		disk                  int // MiB
	}{
		"the budget": {"{rate: 1KiB, burst: 1MiB}", "53400", "used up its budget", 100},
		"the disk":   {"{rate: 1GiB, burst: 1GiB}", "53100", "full but for the share of others", 24},
	} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t, c.disk)
			s := testkit.NewSite(t, func(sc *testkit.SiteConfig) {
				sc.Journal, sc.SegmentSize, sc.Budget = filepath.Join(disk, "journal"), "2MiB", c.budget
				sc.Compression = "none" // which would make room again, sooner or later
				sc.Sinks = deadSink(sc.BackendCA)
			})
			t.Cleanup(func() { closeLedger(s) })
			greedy := connect(t, s.LabProxied())
			pad := strings.Repeat("x", 15_000)
			ran := 0
			refusal := untilRefused(t, func() error {
				_, err := run(t, greedy, fmt.Sprintf("SELECT %d /* %s */", ran, pad))
				ran++
				return err
			})
			e := refused(t, refusal, c.code, c.message)
			incident := incidentOf(t, e.Detail)
			again := connect(t, s.LabProxied())
			// More than what comes back to the budget while this runs.
			large := strings.Repeat("x", 200_000)
			for range 20 {
				_, err := run(t, again, "SELECT 1 /* "+large+" */")
				refused(t, err, c.code, c.message)
			}
			t.Logf("refused after %d statements", ran)
			whileGreedy(t, s, incident)
		})
	}
}

func deadSink(ca string) string {
	return fmt.Sprintf("  - {name: dead, kind: postgres, host: 127.9.9.9, port: 1, database: audit, user: w, password_file: %s.password, tls: {ca: %s}}",
		testkit.LabRole, ca)
}

// whileGreedy is what others have of a journal that one account has filled.
func whileGreedy(t *testing.T, s *testkit.Site, incident string) {
	t.Helper()
	c := dialTLS(t, s).enter(startup("user", "alice", "database", testkit.OrdersDatabase), testkit.AlicePassword)
	await(t, s, "the log-in", all(from(c.source), ofType(audit.SessionStart)))
	c.write(query("DROP TABLE orders")...)
	e := c.complaint("ERROR", "42501", "permission denied")
	c.ready()
	await(t, s, "the denial", withIncident(incidentOf(t, e.Detail)))
	for range 20 {
		c.ask("SELECT count(*) FROM orders")
	}
	// Refusals are recorded once and counted, so that they take no room either.
	told := 0
	await(t, s, "the refusal", func(r *journal.Record) bool { return r.Incident == incident && r.Cause == "journal_budget" })
	if _, err := records(s, func(r *journal.Record) bool {
		if r.Cause == "journal_budget" {
			told++
		}
		return false
	}); err != nil || told > 3 {
		t.Errorf("%d records tell of refusals: %v", told, err)
	}
}
