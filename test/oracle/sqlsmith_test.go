package oracle

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// smith has sqlsmith make statements for the schema. It is seeded, so that what it
// finds can be found again, and many can be sent in slices.
func smith(t *testing.T, s *testkit.Site, n int) []item {
	t.Helper()
	fixture(t, s, "schema.sql")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(n)*20*time.Millisecond)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sqlsmith", "--dry-run", "--seed="+strconv.Itoa(*seed), "--exclude-catalog",
		"--max-queries="+strconv.Itoa(n), "--target="+s.Postgres.SocketDSN(testkit.LabDatabase))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sqlsmith: %v (install the package sqlsmith, internal/testkit/install.sh does)", err)
	}
	var items []item
	for text := range strings.SplitSeq(string(out), ";\n") {
		if text = strings.TrimSpace(text); text != "" {
			items = append(items, item{where: "sqlsmith:" + strconv.Itoa(len(items)+1), steps: []string{text}})
		}
	}
	if len(items) < n {
		t.Fatalf("sqlsmith made %d statements only", len(items))
	}
	return items
}
