package principal

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// replaced: an authority is replaced as the manual says, and at each step people
// log in.
func replaced(t *testing.T, s *testkit.Site) {
	t.Helper()
	ledger := s.Ledgers[0]
	rotate := func(good bool, expect string, more ...string) string {
		t.Helper()
		said, err := s.Run(t.Context(), append([]string{"backend", "rotate", ledger.Name, "--config", s.ConfigFile}, more...)...)
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || (err == nil) != good || !strings.Contains(said, expect) {
			t.Fatalf("%v: %s", err, said)
		}
		return said
	}
	enters := func() {
		t.Helper()
		for _, p := range people[:2] {
			mustAsk(t, s.DSN(p.user, p.password, ledger.Name), "SELECT 1")
		}
	}
	// install copies the authority's file to the server.
	install := func() {
		t.Helper()
		said, err := s.AddBackend(t.Context(), ledger.Name)
		if err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatal(err)
			}
		}
		if err := ledger.Access(t.Context(), s, said); err != nil {
			t.Fatal(err)
		}
	}
	reload := func() {
		t.Helper()
		reloads := func(r *journal.Record) bool { return r.Type == audit.Configuration && r.Cause == "reload" }
		before, err := s.Records(reloads)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		n := 0
		s.Await(t, "the reload", func(r *journal.Record) bool {
			if r.Sequence == 1 {
				n = 0
			}
			if reloads(r) {
				n++
			}
			return n > len(before)
		})
	}
	rotate(true, "The next authority of backend "+ledger.Name+" was made")
	rotate(false, "The key in use stays") // the server does not know it yet
	reload()
	enters()
	install()
	enters()
	rotate(true, "is in the place of the one before")
	enters() // the proxy has the key before still, and the server both
	reload()
	enters()
	rotate(true, "1 certificate taken out", "--finish")
	install()
	enters()
	rotate(true, "The next authority of backend "+ledger.Name+" was made")
	rotate(false, "is not in use yet", "--finish")
}
