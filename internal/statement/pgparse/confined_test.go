package pgparse

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// asWorker makes a parser worker of the test's own binary.
const asWorker = "parser-worker"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asWorker {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	m.Run()
}

// confined tells which texts a test may read in its own process. The parser is C
// that some text may crash or hold up: it is for a worker to die of that, and a
// fuzz target that did it would tell of nothing but that.
func confined(tb testing.TB) func(text string) bool {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	worker, err := statement.Open(statement.Options{Workers: 1, Timeout: 5 * time.Second, Wait: time.Minute, CacheBytes: 1},
		[]string{self, asWorker}, statement.Hooks{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(worker.Close)
	ctx := tb.Context()
	return func(text string) bool {
		j := worker.Judge(ctx, []byte(text), statement.UTF8)
		return j.Cause != statement.CauseParser && j.Cause != statement.CauseTimeout
	}
}

// What kills the parser ends a worker, and not a fuzz target.
func TestConfined(t *testing.T) {
	bearable := confined(t)
	if deep := "SELECT " + strings.Repeat("1+", 200_000) + "1"; bearable(deep) {
		t.Error("a text that kills the parser is let into the process")
	}
	if !bearable("SELECT 1") {
		t.Error("a text that the parser reads is kept out")
	}
}
