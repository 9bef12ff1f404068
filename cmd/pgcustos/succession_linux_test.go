package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/succession"
)

// upgrade has a process start its successor, and returns that one's process id when it
// serves.
func upgrade(t *testing.T, s *server, pid int) int {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	heir := int(s.waitFor(t, "a successor was started")["pid"].(float64))
	t.Cleanup(func() { _ = syscall.Kill(heir, syscall.SIGKILL) }) // an error means that it has ended
	s.waitFor(t, "another process serves now, this one drains")
	if parent := parentOf(t, heir); parent != os.Getpid() {
		t.Errorf("the successor is a child of process %d: who started the first process does not look after it", parent)
	}
	return heir
}

// parentOf returns the process id of a process's parent.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	parent, err := strconv.Atoi(strings.Fields(rest)[1])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}

// awaitEnd waits for the end of a process that may have no parent to ask.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	if err := testkit.WaitFor(t.Context(), func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && strings.HasPrefix(state, "Z") {
			return nil
		}
		return fmt.Errorf("process %d goes on: %w", pid, err)
	}); err != nil {
		t.Error(err)
	}
}

var processed = regexp.MustCompile(`transactions actually processed: (\d+)/(\d+)\nnumber of failed transactions: 0 `)

// benched runs pgbench with a connection for each transaction, again and again until
// stop is true, and returns how many transactions there were.
func benched(t *testing.T, address, script string, stop *atomic.Bool) (all int) {
	t.Helper()
	for last := false; !last; {
		last = stop.Load()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, "pgbench", "-n", "-C", "-c", "4", "-j", "2", "-t", "10", "-f", script,
			fmt.Sprintf("postgres://alice@%s/orders?sslmode=require", address))
		cmd.Env = append(os.Environ(), "PGPASSWORD="+testkit.AlicePassword)
		out, err := cmd.CombinedOutput()
		cancel()
		m := processed.FindSubmatch(out)
		if err != nil || m == nil || !bytes.Equal(m[1], m[2]) {
			t.Errorf("pgbench: %v\n%s", err, out)
			return all
		}
		n, _ := strconv.Atoi(string(m[1]))
		all += n
	}
	return all
}

// TestRollingUpgrade: pgbench connects for each transaction while the proxy is replaced
// twice: no connection fails, each statement is on record, and a session of the first
// process is listed, cancelled and killed through the third.
func TestRollingUpgrade(t *testing.T) {
	site := newSite(t)
	site.text = strings.Replace(site.text, "classes: [READ]", "classes: [READ, FUNCTION]", 1)
	site.write(t, "listen:\n", "listen:\n  take_over_grace: 10m\n")
	s := startServer(t, site.config)
	address := s.waitFor(t, "serving")["address"].(string)
	first := s.cmd.Process.Pid

	script := filepath.Join(site.dir, "connect.sql")
	site.file(t, "connect.sql", "SELECT count(*) FROM orders /* while it is replaced */;\n")
	var stop atomic.Bool
	transactions := make(chan int, 1)
	go func() { transactions <- benched(t, address, script, &stop) }()

	conn, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // it is killed
	locked, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close(context.Background()) //nolint:errcheck // it is locked out
	second := upgrade(t, s, first)
	third := upgrade(t, s, second)
	stop.Store(true)
	want := <-transactions
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("a session of the first process: %v", err)
	}
	t.Run("cancel", func(t *testing.T) { testCancelOfOlder(t, conn) })
	t.Run("kill", func(t *testing.T) { testKillOfOlder(t, site, conn, locked) })
	awaitEnd(t, first)
	awaitEnd(t, second)

	if err := syscall.Kill(third, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, third)
	query := pgcustos(t, "audit", "query", "--config", site.config, "--type", "statement", "--format", "jsonl")
	if got := strings.Count(query.stdout, "while it is replaced"); got != want || query.code != exitOK {
		t.Errorf("%d statements were executed, %d are on record: %s", want, got, query.stderr)
	}
	if r := pgcustos(t, "audit", "verify", "--config", site.config); r.code != exitOK {
		t.Errorf("verify: %+v", r)
	}
	configurations := pgcustos(t, "audit", "query", "--config", site.config, "--type", "configuration", "--format", "jsonl").stdout
	for _, want := range []string{
		fmt.Sprintf("in the place of process %d", first), fmt.Sprintf("process %d goes on", second),
		fmt.Sprintf("in the place of process %d", second), fmt.Sprintf("process %d goes on", third),
	} {
		if !strings.Contains(configurations, want) {
			t.Errorf("not on record: %s\n%s", want, configurations)
		}
	}
}

// testCancelOfOlder: the request comes to the newest process, the session is the
// oldest's.
func testCancelOfOlder(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(600) FROM orders")
		ended <- err
	}()
	pg := testkit.SharedPostgres(t)
	if err := testkit.WaitFor(t.Context(), func() error {
		n, err := pg.Value(t.Context(), "postgres", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'")
		if err == nil && n != "1" {
			err = errors.New("it does not run yet")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Error(err)
	}
	var cancelled *pgconn.PgError
	if err := <-ended; !errors.As(err, &cancelled) || cancelled.Code != "57014" {
		t.Errorf("the statement ended with %v", err)
	}
}

// testKillOfOlder ends one session of two by its id, and the other by a lock.
func testKillOfOlder(t *testing.T, site *site, killed, locked *pgx.Conn) {
	t.Helper()
	listed := func() (list struct{ Sessions []proxy.Status }) {
		r := pgcustos(t, "sessions", "--config", site.config, "--as-json")
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		return list
	}
	for _, st := range listed().Sessions {
		if st.BackendPID != killed.PgConn().PID() {
			continue
		}
		if r := pgcustos(t, "kill", "--config", site.config, "--session", st.Session, "--reason", "it is an old one"); r.code != exitOK || !strings.Contains(r.stdout, "1") {
			t.Errorf("kill: %+v", r)
		}
	}
	if err := killed.Ping(t.Context()); err == nil {
		t.Error("the session that was killed goes on")
	}
	if err := locked.Ping(t.Context()); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if r := pgcustos(t, "lock", "--config", site.config, "--user", "alice", "--reason", "nobody is to stay"); r.code != exitOK {
		t.Errorf("lock: %+v", r)
	}
	if err := locked.Ping(t.Context()); err == nil {
		t.Error("the session that is locked out goes on")
	}
}

// TestSuccessorFails: where a successor fails, whenever that is, the process that
// serves goes on as it was. Nobody but the same user gets the sockets.
func TestSuccessorFails(t *testing.T) {
	site := newSite(t)
	s := startServer(t, site.config)
	address := s.waitFor(t, "serving")["address"].(string)
	control := filepath.Join(site.dir, "journal", "control")
	find := func() *succession.Predecessor {
		p, err := succession.Find(t.Context(), control, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for _, socket := range p.Sockets {
			if err := socket.File.Close(); err != nil {
				t.Error(err)
			}
		}
		if len(p.Sockets) != 1 || p.PID != s.cmd.Process.Pid {
			t.Errorf("found %+v", p.Estate)
		}
		return p
	}
	serves := func() {
		t.Helper()
		if err := testkit.WaitFor(t.Context(), func() error {
			if r := pgcustos(t, "sessions", "--config", site.config); r.code != exitOK {
				return fmt.Errorf("sessions: %+v", r)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		conn, err := connectAlice(t, address)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	p := find()
	if _, err := p.Succeed(t.Context()); err == nil {
		t.Error("it gave way to one that it had not yielded to")
	}
	<-p.Gone()
	serves()
	if p = find(); p.Yield(t.Context()) != nil {
		t.Error("it does not yield")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	s.waitFor(t, "the successor failed, this process goes on")
	serves()

	site.write(t, "node: test", "node: [")
	s.signal(t, syscall.SIGUSR2)
	s.waitFor(t, "the successor ended, this process goes on")
	site.write(t)
	serves()
	s.signal(t, syscall.SIGTERM)
	if code := s.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestSuccessorDies: nobody could lock out the sessions of a process that no successor
// reaches any more, so that it ends them.
func TestSuccessorDies(t *testing.T) {
	site := newSite(t)
	site.text = strings.Replace(site.text, "classes: [READ]", "classes: [READ, MISC]", 1)
	site.write(t, "listen:\n", "listen:\n  take_over_grace: 10m\n  shutdown_timeout: 10m\n")
	s := startServer(t, site.config)
	conn, err := connectAlice(t, s.waitFor(t, "serving")["address"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())                     //nolint:errcheck // the server ends it
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil { // it is at no idle point
		t.Fatal(err)
	}
	heir := upgrade(t, s, s.cmd.Process.Pid)
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(heir, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, "nobody can reach the sessions of this process any more: ending them")
	if code := s.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the session goes on")
	}
}

// TestReloadReachesOlder: what a new configuration does not give any more ends in the
// process that was succeeded, too.
func TestReloadReachesOlder(t *testing.T) {
	site := newSite(t)
	site.text = strings.Replace(site.text, "listen:\n", "listen:\n  take_over_grace: 10m\n", 1)
	site.write(t)
	s := startServer(t, site.config)
	conn, err := connectAlice(t, s.waitFor(t, "serving")["address"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the server ends it
	heir := upgrade(t, s, s.cmd.Process.Pid)
	site.write(t, "groups: [APP-Orders-Readers]", "groups: [Others]")
	if err := syscall.Kill(heir, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, s.cmd.Process.Pid) // it had one session
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the session goes on")
	}
	if err := syscall.Kill(heir, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, heir)
}

// TestPredecessorIsKilled: where the process that serves is killed while a successor takes
// its place, want of memory for two, say, that one serves: it has the sockets.
func TestPredecessorIsKilled(t *testing.T) {
	for _, moment := range []string{"before it yields", "when it yields"} {
		t.Run(moment, func(t *testing.T) {
			site := newSite(t)
			s := startServer(t, site.config)
			address := s.waitFor(t, "serving")["address"]
			heir := startCommand(t, exec.Command(binary, "serve", "--config", site.config, "--take-over"))
			if moment == "before it yields" {
				heir.waitFor(t, "taking the place of a process that serves")
			} else {
				s.waitFor(t, "a successor is ready")
			}
			if err := s.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if got := heir.waitFor(t, "serving")["address"]; got != address {
				t.Errorf("it serves at %v, and not at %v", got, address)
			}
			conn, err := connectAlice(t, address)
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
			heir.signal(t, syscall.SIGTERM)
			if code := heir.end(t); code != exitOK {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
