package secrets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// core shows that neither the proxy nor a worker can leave a core dump, where the
// limits that they were started with let them: a worker dies as one does that is
// dumped, and is not.
func core(t *testing.T, p *place) {
	t.Helper()
	workers := p.workers(t)
	for _, pid := range append(workers, p.ProxyPID()) {
		for line := range strings.Lines(string(p.file(t, fmt.Sprintf("/proc/%d/limits", pid)))) {
			if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
				t.Errorf("%d may leave a core dump: %s", pid, line)
			}
		}
	}
	if err := syscall.Kill(workers[0], syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	died := p.Await(t, "the worker's death", func(r *journal.Record) bool { return r.Type == audit.ParserDied })
	if strings.Contains(died.Detail, "core dumped") {
		t.Errorf("the worker left a core dump: %s", died.Detail)
	}
	for _, dir := range []string{"/", p.Dir, p.Journal} {
		found, err := filepath.Glob(filepath.Join(dir, "core*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Size() > 0 && info.ModTime().After(died.Time) {
				t.Errorf("a core dump: %s", name)
			}
		}
	}
	control(t)
}

// control shows that another program would have been dumped: the test sees what it
// looks for. Where the kernel hands dumps to a program, or the limits are 0 already,
// there is nothing to see.
func control(t *testing.T) {
	t.Helper()
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	var limit syscall.Rlimit
	if err != nil || strings.ContainsAny(string(pattern), "|/@") || syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) != nil || limit.Cur == 0 {
		t.Logf("nobody's core dump could be seen here: pattern %q, limit %d, %v", pattern, limit.Cur, err)
		return
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "kill -QUIT $$")
	cmd.Dir = t.TempDir()
	err = cmd.Run()
	if err == nil || !strings.Contains(err.Error(), "core dumped") {
		t.Errorf("a program that may leave a core dump: %v", err)
	}
}
