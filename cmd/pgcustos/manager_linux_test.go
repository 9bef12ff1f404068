package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// manager is what a service manager is to a service: it holds the listening socket, and
// is told what becomes of it.
type manager struct {
	socket *os.File
	notify *net.UnixConn
	path   string
}

func newManager(t *testing.T) (m *manager, address string) {
	t.Helper()
	m = &manager{path: filepath.Join(t.TempDir(), "n")}
	m.socket, address = bound(t)
	var err error
	if m.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.notify.Close() })
	return m, address
}

// start starts the service with the socket: sd_listen_fds(3), sd_notify(3).
func (m *manager) start(t *testing.T, config string) *server {
	t.Helper()
	return startActivated(t, config, m.socket, "clients", "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=1000000")
}

// startActivated starts a server with a socket of that name.
func startActivated(t *testing.T, config string, socket *os.File, name string, env ...string) *server {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$0" serve --config "$1"`, binary, config)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Env = append(append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES="+name), env...)
	return startCommand(t, cmd)
}

// bound is a socket that listens, and its address.
func bound(t *testing.T) (socket *os.File, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if socket, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket, l.Addr().String()
}

// told waits for a message that begins so, and returns it.
func (m *manager) told(t *testing.T, what string) string {
	t.Helper()
	if err := m.notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); ; {
		n, err := m.notify.Read(b)
		if err != nil {
			t.Fatalf("%q was not told: %v", what, err)
		}
		if text := string(b[:n]); strings.HasPrefix(text, what) {
			return text
		}
	}
}

// TestServiceManager: a service manager's socket is used and left open, so that clients
// wait while nothing runs; and the manager is told of each change, of a successor, too.
func TestServiceManager(t *testing.T) {
	site := newSite(t)
	m, address := newManager(t)
	site.write(t, "address: 127.0.0.1:0", "address: 127.0.0.1:1")
	s := m.start(t, site.config)
	m.told(t, "READY=1")
	m.told(t, "WATCHDOG=1")
	ask := func() error {
		conn, err := connectAlice(t, address)
		if err != nil {
			return err
		}
		return conn.Close(t.Context())
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	s.signal(t, syscall.SIGHUP)
	if text := m.told(t, "RELOADING=1"); !strings.Contains(text, "\nMONOTONIC_USEC=") {
		t.Errorf("told %q", text)
	}
	m.told(t, "READY=1")

	s.signal(t, syscall.SIGUSR2)
	heir := int(s.waitFor(t, "a successor was started")["pid"].(float64))
	t.Cleanup(func() { _ = syscall.Kill(heir, syscall.SIGKILL) })
	if text := m.told(t, "MAINPID="); text != fmt.Sprintf("MAINPID=%d", heir) {
		t.Errorf("told %q", text)
	}
	m.told(t, "READY=1")
	m.told(t, "WATCHDOG=1")
	awaitEnd(t, s.cmd.Process.Pid)
	if err := ask(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(heir, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.told(t, "STOPPING=1")
	awaitEnd(t, heir)

	// Whoever comes now waits in the queue.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answered := make(chan error, 1)
	early, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatalf("refused while nothing runs: %v", err)
	}
	go func() {
		c, err := pgx.ParseConfig(fmt.Sprintf("postgres://alice:%s@%s/orders?sslmode=require", testkit.AlicePassword, address))
		if err != nil {
			answered <- err
			return
		}
		c.DialFunc = func(context.Context, string, string) (net.Conn, error) { return early, nil }
		conn, err := pgx.ConnectConfig(ctx, c)
		if err == nil {
			err = conn.Close(ctx)
		}
		answered <- err
	}()
	s = m.start(t, site.config)
	m.told(t, "READY=1")
	if err := <-answered; err != nil {
		t.Errorf("a client that waited: %v", err)
	}
	s.signal(t, syscall.SIGTERM)
	if code := s.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
