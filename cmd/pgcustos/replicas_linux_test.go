package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// replica is one of two proxies that know each other.
type replica struct {
	*server
	site                  *site
	name                  string
	leaf                  *testkit.Certificate
	socket                *os.File
	peers, address, admin string
}

// replicas starts two.
func replicas(t *testing.T) (all [2]*replica, ca *testkit.CA) {
	t.Helper()
	ca, err := testkit.NewCA("peers")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"replica-a", "replica-b"} {
		r := &replica{site: newSite(t), name: name}
		r.socket, r.peers = bound(t)
		if r.leaf, err = ca.Issue(testkit.Leaf{CommonName: name, Names: []string{name}}); err != nil {
			t.Fatal(err)
		}
		all[i] = r
	}
	for i, r := range all {
		other := all[1-i]
		certificate, key, err := r.leaf.Write(r.site.dir, "peer")
		if err != nil {
			t.Fatal(err)
		}
		r.site.file(t, "peers-ca.pem", string(ca.PEM))
		r.site.text += fmt.Sprintf(`admin: {address: 127.0.0.1:0}
peers:
  address: %s
  tls: {certificate: %s, key: %s, ca: peers-ca.pem}
  nodes: [{node: %s, address: "%s"}]
`, r.peers, certificate, key, other.name, other.peers)
		r.site.text = strings.Replace(r.site.text, "classes: [READ]", "classes: [READ, FUNCTION]", 1)
		r.site.write(t, "node: test", "node: "+r.name, "listen:\n", "listen:\n  shutdown_delay: 5s\n")
		r.server = startActivated(t, r.site.config, r.socket, "peers")
		r.admin = r.waitFor(t, "admin server")["address"].(string)
		r.address = r.waitFor(t, "serving")["address"].(string)
	}
	return all, ca
}

// balance starts HAProxy before two replicas, and returns its address.
func balance(t *testing.T, all [2]*replica) string {
	t.Helper()
	socket, address := bound(t)
	config := `defaults
  mode tcp
  timeout connect 10s
  timeout client 10m
  timeout server 10m
  timeout check 10s
frontend clients
  bind fd@3
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 250ms fall 2 rise 1
`
	for _, r := range all {
		_, port, err := net.SplitHostPort(r.admin)
		if err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("  server %s %s port %s\n", r.name, r.address, port)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/haproxy", "-db", "-f", file)
	cmd.ExtraFiles = []*os.File{socket}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return address
}

// cancelled has a statement run, cancels it with a request to an address, and expects
// that to succeed.
func cancelled(t *testing.T, conn *pgx.Conn, address, mark string) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(600) /* "+mark+" */ FROM orders")
		ended <- err
	}()
	pg := testkit.SharedPostgres(t)
	if err := testkit.WaitFor(t.Context(), func() error {
		n, err := pg.Value(t.Context(), "postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(600) /* "+mark+" */%'")
		if err == nil && n != "1" {
			err = errors.New("it does not run yet")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing comes back
	secret := conn.PgConn().SecretKey()
	packet := []byte{0, 0, 0, byte(12 + len(secret)), 4, 210, 22, 46}
	packet = append(packet, byte(conn.PgConn().PID()>>24), byte(conn.PgConn().PID()>>16), byte(conn.PgConn().PID()>>8), byte(conn.PgConn().PID()))
	if _, err := c.Write(append(packet, secret...)); err != nil {
		t.Fatal(err)
	}
	var e *pgconn.PgError
	select {
	case err := <-ended:
		if !errors.As(err, &e) || e.Code != "57014" {
			t.Errorf("%s: the statement ended with %v", mark, err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s: the cancel did not arrive", mark)
	}
}

// TestReplicas: behind a balancer, a cancel that comes to the wrong replica reaches the
// backend, whatever the length of its key; strangers can send none; and a replica that
// drains is taken out before it turns clients away.
func TestReplicas(t *testing.T) {
	all, ca := replicas(t)
	a, b := all[0], all[1]
	for _, version := range []string{"3.0", "3.2"} {
		conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://alice:%s@%s/orders?sslmode=require&max_protocol_version=%s", testkit.AlicePassword, a.address, version))
		if err != nil {
			t.Fatal(err)
		}
		cancelled(t, conn, b.address, "protocol "+version)
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	cancels := pgcustos(t, "audit", "query", "--config", a.site.config, "--type", "cancel", "--format", "jsonl").stdout
	if strings.Count(cancels, "via replica-b") != 2 {
		t.Errorf("on record at replica-a:\n%s", cancels)
	}
	t.Run("strangers", func(t *testing.T) { testStrangers(t, ca, b, a) })

	balancer := balance(t, all)
	for i := range 4 {
		conn, err := connectAlice(t, balancer)
		if err != nil {
			t.Fatal(err)
		}
		cancelled(t, conn, balancer, fmt.Sprintf("balanced %d", i))
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Run("certificates", func(t *testing.T) { testPeersRenewed(t, all) })
	t.Run("drain", func(t *testing.T) { testDrain(t, a, balancer) })
}

// testPeersRenewed gives both replicas certificates of another authority: a reload of one
// parts them, a reload of both brings them together again.
func testPeersRenewed(t *testing.T, all [2]*replica) {
	t.Helper()
	ca, err := testkit.NewCA("peers again")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().AddDate(0, 0, 7)
	for _, r := range all {
		if r.leaf, err = ca.Issue(testkit.Leaf{CommonName: r.name, Names: []string{r.name}, NotAfter: end}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.leaf.Write(r.site.dir, "peer"); err != nil {
			t.Fatal(err)
		}
		r.site.file(t, "peers-ca.pem", string(ca.PEM))
	}
	a, b := all[0], all[1]
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: b.name, MinVersion: tls.VersionTLS13, NextProtos: []string{"pgcustos-cancel/1"}, Certificates: []tls.Certificate{a.leaf.TLS}}
	line := `{"pid":1,"secret":"AAAAAA==","source":"192.0.2.1:5"}` + "\n"
	if got, err := exchange(t.Context(), config, b.peers, line); got != "" || err == nil {
		t.Errorf("before the reload: answered %q, %v", got, err)
	}
	for _, r := range all {
		r.signal(t, syscall.SIGHUP)
		r.waitFor(t, "configuration reloaded")
		if _, body := status(t, "http://"+r.admin+"/readyz"); !strings.Contains(body, "the certificate of peers ends on "+end.UTC().Format(time.DateOnly)) {
			t.Errorf("ready: %q", body)
		}
	}
	if got, err := exchange(t.Context(), config, b.peers, line); got != `{"found":false}` {
		t.Errorf("after the reload: answered %q, %v", got, err)
	}
	conn, err := connectAlice(t, a.address)
	if err != nil {
		t.Fatal(err)
	}
	cancelled(t, conn, b.address, "renewed")
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// testDrain: pgbench connects through the balancer for each transaction while a
// replica goes, and notices nothing.
func testDrain(t *testing.T, a *replica, balancer string) {
	t.Helper()
	a.site.file(t, "connect.sql", "SELECT count(*) FROM orders;\n")
	var stop atomic.Bool
	transactions := make(chan int, 1)
	go func() { transactions <- benched(t, balancer, filepath.Join(a.site.dir, "connect.sql"), &stop) }()
	a.signal(t, syscall.SIGTERM)
	a.waitFor(t, "clients are served for a while yet")
	if code, body := status(t, "http://"+a.admin+"/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d %s", code, body)
	}
	if conn, err := connectAlice(t, a.address); err != nil {
		t.Errorf("a client of a replica that is about to end: %v", err)
	} else if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if code := a.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	stop.Store(true)
	if <-transactions == 0 {
		t.Error("there were no transactions")
	}
}

// testStrangers: the port of the peers is for those that the configuration lists, and
// each asks among its own sessions alone.
func testStrangers(t *testing.T, ca *testkit.CA, b, a *replica) {
	t.Helper()
	other, err := testkit.NewCA("others")
	if err != nil {
		t.Fatal(err)
	}
	issue := func(from *testkit.CA, name string) *tls.Certificate {
		leaf, err := from.Issue(testkit.Leaf{CommonName: name, Names: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		return &leaf.TLS
	}
	// A key that says it is replica-a's: whoever passed it on would ask replica-a.
	sum := sha256.Sum256([]byte("pgcustos node " + a.name))
	line := fmt.Sprintf(`{"pid":1,"secret":%q,"source":"192.0.2.1:5"}`+"\n", base64.StdEncoding.EncodeToString(append(sum[:4], make([]byte, 28)...)))
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		alpn, send  string
		want        string
	}{
		"nobody":            {nil, "pgcustos-cancel/1", line, ""},
		"another authority": {issue(other, a.name), "pgcustos-cancel/1", line, ""},
		"not listed":        {issue(ca, "replica-c"), "pgcustos-cancel/1", line, ""},
		"another protocol":  {issue(ca, a.name), "postgresql", line, ""},
		"no protocol":       {issue(ca, a.name), "", line, ""},
		"too long":          {issue(ca, a.name), "pgcustos-cancel/1", strings.Repeat("x", 600) + "\n", ""},
		"unknown key":       {issue(ca, a.name), "pgcustos-cancel/1", line, `{"found":false}`},
	} {
		config := &tls.Config{RootCAs: ca.Pool(), ServerName: b.name, MinVersion: tls.VersionTLS13}
		if c.alpn != "" {
			config.NextProtos = []string{c.alpn}
		}
		if c.certificate != nil {
			config.Certificates = []tls.Certificate{*c.certificate}
		}
		got, err := exchange(t.Context(), config, b.peers, c.send)
		if got != c.want {
			t.Errorf("%s: answered %q, %v", name, got, err)
		}
	}
	if _, body := status(t, "http://"+a.admin+"/metrics"); strings.Contains(body, `pgcustos_cancels_total{result="unknown_key"}`) {
		t.Error("replica-b asked replica-a, as a client would")
	}
}

func exchange(ctx context.Context, config *tls.Config, address, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // the answer is what counts
	if _, err := c.Write([]byte(line)); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}
