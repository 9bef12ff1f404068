package crowds

import (
	"flag"
	"os"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/internal/testkit/syscalls"
)

var (
	large     = flag.Bool("crowds", false, "send the whole crowds, for longer, and hold the figures against bounds")
	idleWhole = flag.Int("idle", 10_000, "how many idle sessions there are with -crowds")
)

// roleVariable has this program be a crowd, or what a crowd is served by.
const roleVariable = "PGCUSTOS_TEST_CROWD"

func TestMain(m *testing.M) {
	syscalls.Launch()
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(testkit.Main(m))
	case "crowd":
		os.Exit(beCrowd(os.Stdin, os.Stdout))
	case "backend":
		os.Exit(beBackend(os.Stdin, os.Stdout))
	}
	os.Exit(2)
}

// sized is how many there are of something.
func sized(whole, short int) int {
	if *large {
		return whole
	}
	return short
}
