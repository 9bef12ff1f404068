package clients

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// terminal is psql as a person has it before them.
type terminal struct {
	t    *testing.T
	file *os.File

	mu   sync.Mutex
	said bytes.Buffer
	seen int // what was waited for already
}

func openTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool("psql"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TERM=dumb", "LC_ALL=C.UTF-8", "PAGER=cat", "PSQL_HISTORY=/dev/null"}
	file, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, file: file}
	var wg sync.WaitGroup
	wg.Go(term.listen)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = file.Close()
		wg.Wait()
	})
	return term
}

func (x *terminal) listen() {
	b := make([]byte, 4096)
	for {
		n, err := x.file.Read(b)
		x.mu.Lock()
		x.said.Write(b[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) send(keys string) {
	x.t.Helper()
	if _, err := x.file.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// expect waits until psql has said something new.
func (x *terminal) expect(what string) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 15*time.Second)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		x.mu.Lock()
		defer x.mu.Unlock()
		said := x.said.String()
		i := strings.Index(said[x.seen:], what)
		if i < 0 {
			return fmt.Errorf("psql has not said %q, but:\n%s", what, said[x.seen:])
		}
		x.seen += i + len(what)
		return nil
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

func TestPsqlInteractive(t *testing.T) {
	s := testkit.SharedSite(t)
	// psql leaves when it is asked for a password, asks its user, and comes again.
	x := openTerminal(t, "-X", "-n", s.DSN("alice", "", "orders"))
	x.expect("Password")
	x.send(testkit.AlicePassword + "\n")
	x.expect("orders=>")
	x.send("\\d orders\n")
	x.expect("customer_id")
	x.expect("orders=>")
	x.send("SELECT pg_sleep(60);\n")
	x.expect("SELECT pg_sleep(60);")
	s.Await(t, "the statement", recordOf("SELECT pg_sleep(60);"))
	x.send("\x03")
	x.expect("canceling statement due to user request")
	x.expect("orders=>")
	x.send("SELECT 40 + 2;\n")
	x.expect("42")
	x.send("\\q\n")
}
