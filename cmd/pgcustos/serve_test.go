package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// server is a running `pgcustos serve`.
type server struct {
	cmd    *exec.Cmd
	exited chan error

	mu    sync.Mutex
	lines []map[string]any
	more  chan struct{} // closed, and replaced, at each line
}

func startServer(t *testing.T, config string) *server {
	t.Helper()
	return startServerTo(t, config, nil)
}

// startServerTo is startServer with a standard output; nil for none.
func startServerTo(t *testing.T, config string, stdout *os.File) *server {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--config", config)
	if stdout != nil {
		cmd.Stdout = stdout
	}
	return startCommand(t, cmd)
}

// startCommand starts a command that serves.
func startCommand(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{cmd: cmd, exited: make(chan error, 1), more: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.read(stderr)
		s.exited <- s.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // an error means that it has ended
		<-s.exited
	})
	return s
}

func (s *server) read(r io.Reader) {
	for scan := bufio.NewScanner(r); scan.Scan(); {
		var line map[string]any
		if json.Unmarshal(scan.Bytes(), &line) != nil {
			line = map[string]any{"msg": scan.Text()}
		}
		s.mu.Lock()
		s.lines = append(s.lines, line)
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
}

// waitFor returns the next line with that message, behind those seen before.
func (s *server) waitFor(t *testing.T, message string) map[string]any {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		for i, line := range s.lines {
			if line["msg"] == message {
				s.lines = s.lines[i+1:]
				s.mu.Unlock()
				return line
			}
		}
		more, all := s.more, fmt.Sprint(s.lines)
		s.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%q was not logged: %s", message, all)
		}
	}
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// end waits for the exit and returns its code.
func (s *server) end(t *testing.T) int {
	t.Helper()
	select {
	case err := <-s.exited:
		s.exited <- err
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(40 * time.Second):
		t.Fatal("it does not end")
		return -1
	}
}

func connectAlice(t *testing.T, address any) (*pgx.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return pgx.Connect(ctx, fmt.Sprintf("postgres://alice:%s@%s/orders?sslmode=require", testkit.AlicePassword, address))
}

func status(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestServe(t *testing.T) {
	site := newSite(t)
	site.text += "admin: {address: 127.0.0.1:0}\nlog: {level: debug}\n"
	site.write(t)
	s := startServer(t, site.config)
	admin := "http://" + s.waitFor(t, "admin server")["address"].(string)
	address := s.waitFor(t, "serving")["address"]

	if err := testkit.WaitFor(t.Context(), func() error {
		if code, body := status(t, admin+"/readyz"); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	}); err != nil {
		t.Fatalf("not ready: %v", err)
	}
	conn, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the server ends it
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&n); err != nil || n == 0 {
		t.Fatalf("%d rows, %v", n, err)
	}
	_, err = conn.Exec(t.Context(), "DELETE FROM orders")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "42501" {
		t.Errorf("DELETE: %v", err)
	}
	t.Run("reload", func(t *testing.T) { testReload(t, site, s, conn) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, admin) })
	t.Run("certificate", func(t *testing.T) { testCertificate(t, site, s, admin, address.(string)) })
	t.Run("hardened", func(t *testing.T) { testHardened(t, s.cmd.Process.Pid) })

	s.signal(t, syscall.SIGTERM)
	if code := s.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the session outlives the server")
	}
	t.Run("audit", func(t *testing.T) { testAudit(t, site) })
}

func testReload(t *testing.T, site *site, s *server, conn *pgx.Conn) {
	t.Helper()
	// A wrong one changes nothing.
	site.write(t, "classes: [READ]", "classes: [REED]")
	s.signal(t, syscall.SIGHUP)
	line := s.waitFor(t, "the configuration was not reloaded, the old one stays in force")
	if !strings.Contains(line["error"].(string), `there is no class "REED"; did you mean "READ"?`) {
		t.Errorf("logged %v", line)
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("a refused reload hurt a session: %v", err)
	}
	// One that takes the grant away ends the session.
	site.write(t, "groups: [APP-Orders-Readers]", "groups: [Others]")
	s.signal(t, syscall.SIGHUP)
	line = s.waitFor(t, "configuration reloaded")
	if line["change"] != "rule readers: groups gain Others\nrule readers: groups lose APP-Orders-Readers" || line["sessions_ended"] != 1.0 {
		t.Errorf("logged %v", line)
	}
	if err := testkit.WaitFor(t.Context(), func() error {
		if conn.Ping(t.Context()) == nil {
			return errors.New("the session goes on")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// testCertificate: a new certificate is shown to new connections after a reload, and
// its end is told long before.
func testCertificate(t *testing.T, site *site, s *server, admin, address string) {
	t.Helper()
	ca, err := testkit.NewCA("another")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(testkit.Leaf{CommonName: "proxy", Names: []string{"localhost"}, NotAfter: time.Now().AddDate(0, 0, 7)})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := leaf.Write(site.dir, "server"); err != nil {
		t.Fatal(err)
	}
	if _, body := status(t, admin+"/readyz"); body != "ready\n" {
		t.Errorf("before: %q", body)
	}
	s.signal(t, syscall.SIGHUP)
	if line := s.waitFor(t, "configuration reloaded"); !strings.Contains(fmt.Sprint(line["change"]), "listen: certificate: ") {
		t.Errorf("logged %v", line)
	}
	want := "ready\nwarning: the certificate of listen ends on " + leaf.TLS.Leaf.NotAfter.UTC().Format(time.DateOnly) + "\n"
	if code, body := status(t, admin+"/readyz"); code != http.StatusOK || body != want {
		t.Errorf("after: %d %q", code, body)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()                                                        //nolint:errcheck // nothing was said
	if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	client := tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Errorf("another certificate is shown: %v", err)
	}
}

func testMetrics(t *testing.T, admin string) {
	t.Helper()
	_, body := status(t, admin+"/metrics")
	for _, want := range []string{
		`pgcustos_reloads_total{result="failure"} 1`, `pgcustos_reloads_total{result="success"} 1`, "pgcustos_directory_up 1",
		`pgcustos_statements_total{decision="denied"} 1`, `pgcustos_authentications_total{cause="",result="success"} 1`,
		"pgcustos_parser_cache_misses_total", "pgcustos_journal_bytes_total", `pgcustos_certificate_expiry_timestamp_seconds{certificate="listen"}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// testHardened reads what the kernel says of the process: no core may be written.
func testHardened(t *testing.T, pid int) {
	t.Helper()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(limits) {
		if f := strings.Fields(string(line)); strings.HasPrefix(string(line), "Max core file size") && f[4] != "0" {
			t.Errorf("%s", line)
		}
	}
}

func testAudit(t *testing.T, site *site) {
	t.Helper()
	query := func(args ...string) string {
		r := pgcustos(t, append([]string{"audit", "query", "--config", site.config, "--format", "jsonl"}, args...)...)
		if r.code != exitOK {
			t.Errorf("audit query %v: %+v", args, r)
		}
		return r.stdout
	}
	configurations := query("--type", "configuration")
	for _, want := range []string{`"start"`, `"reload_refused"`, `"reload"`, `"stop"`, "groups lose APP-Orders-Readers"} {
		if !strings.Contains(configurations, want) {
			t.Errorf("%s is not recorded:\n%s", want, configurations)
		}
	}
	if denied := query("--principal", "alice", "--decision", "denied", "--type", "statement"); strings.Count(denied, "\n") != 1 || !strings.Contains(denied, "DELETE FROM orders") {
		t.Errorf("denied:\n%s", denied)
	}
	if r := pgcustos(t, "audit", "tail", "--journal", filepath.Join(site.dir, "journal"), "-n", "1", "--type", "configuration"); r.code != exitOK || !strings.Contains(r.stdout, "stop") {
		t.Errorf("tail: %+v", r)
	}
	if r := pgcustos(t, "audit", "cat", "--config", site.config); r.code != exitOK || strings.Contains(r.stdout, testkit.AlicePassword) || strings.Count(r.stdout, "\n") < 8 {
		t.Errorf("cat: exit code %d, %s", r.code, r.stderr)
	}
	if r := pgcustos(t, "audit", "query", "--decision", "maybe"); r.code != exitUsage || !strings.Contains(r.stderr, `no such decision: "maybe"`) {
		t.Errorf("a wrong filter: %+v", r)
	}
}

// TestServeForced: a second signal ends a session that is in a transaction.
func TestServeForced(t *testing.T) {
	site := newSite(t)
	site.text = strings.Replace(site.text, "classes: [READ]", "classes: [READ, MISC]", 1)
	site.write(t)
	s := startServer(t, site.config)
	address := s.waitFor(t, "serving")["address"]
	conn, err := connectAlice(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the server ends it
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	s.signal(t, syscall.SIGTERM)
	s.waitFor(t, "shutting down")
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the transaction is not left to its end: %v", err)
	}
	s.signal(t, syscall.SIGINT)
	s.waitFor(t, "ending every session now")
	if code := s.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestServeRefusesToStart: what is wrong is said at once, and nothing listens.
func TestServeRefusesToStart(t *testing.T) {
	site := newSite(t)
	site.write(t, "path: journal", "path: bind.password")
	r := pgcustos(t, "serve", "--config", site.config)
	if r.code != exitFailure || !strings.Contains(r.stderr, "bind.password") {
		t.Errorf("%+v", r)
	}
}
