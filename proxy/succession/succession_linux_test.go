package succession

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PGCUSTOS_TEST_HEIR"); dir != "" {
		_, err := Find(context.Background(), dir, slog.New(slog.DiscardHandler))
		_, _ = os.Stdout.WriteString(err.Error()) // a panic where there is none
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// nobodys is an office that is never to be asked for anything.
type nobodys struct{ Office }

func (nobodys) Estate() Estate { panic("it was asked for its sockets") }

// TestAnotherUser: whoever is let in by the file system, and is not the same user, gets
// no socket; nor does an heir take one from another user's process.
func TestAnotherUser(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "pgc") // one that others can reach
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is empty but for a socket
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	i, err := Listen(dir, nobodys{}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, socketName)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "heir")
	if err := os.WriteFile(program, self, 0o755); err != nil { //nolint:gosec // others have to start it
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "PGCUSTOS_TEST_HEIR="+dir)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if os.Getuid() == 0 && (err != nil || !strings.Contains(string(out), "it is user 0's, not 65534's")) {
		t.Errorf("the heir says %q, %v", out, err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if os.Getuid() == 0 && !strings.Contains(log.String(), "somebody else asked for the listening sockets") {
		t.Errorf("logged %q", log.String())
	}
}

// quiet is an office of one socket that counts what it is asked for.
type quiet struct {
	Office
	socket  Socket
	resumed chan struct{}
}

func (q *quiet) Estate() Estate                    { return Estate{PID: 1, Sockets: []Socket{q.socket}} }
func (q *quiet) Yield() error                      { return nil }
func (q *quiet) Resume()                           { close(q.resumed) }
func (q *quiet) Cede(int) (json.RawMessage, error) { return nil, errors.New("not today") }

// TestOutOfTurn: an heir that asks for what does not come now is let go of, and what
// was laid down is taken up again.
func TestOutOfTurn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	q := &quiet{socket: Socket{Name: "clients", Address: "here", File: file}, resumed: make(chan struct{})}
	i, err := Listen(dir, q, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Find(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Yield(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.Succeed(t.Context()); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("Succeed: %v", err)
	}
	<-q.resumed
	<-p.Gone()
	// The socket is the same one, whose queue both see.
	inherited, err := net.FileListener(p.Sockets[0].File)
	if err != nil || inherited.Addr().String() != l.Addr().String() {
		t.Errorf("%v, %v", inherited, err)
	}
	for _, c := range []interface{ Close() error }{inherited, p.Sockets[0].File, p, i, l, file} {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// TestPredecessorEnds: that it has ended, as it does when its last session has, is
// nothing that anybody need be told of, and no error of the process that goes on.
func TestPredecessorEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only that it is closed counts
	defer l.Close()    //nolint:errcheck // likewise
	dir := t.TempDir()
	i, err := Listen(dir, &quiet{socket: Socket{Name: "clients", Address: "here", File: file}, resumed: make(chan struct{})}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p, err := Find(t.Context(), dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p.closeSockets()
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	p.Hurry() // the first write finds it out, or does not
	<-p.Gone()
	p.Hurry()
	if n := p.Kill(nil, "", time.Time{}); n != 0 || p.Reload() != nil {
		t.Errorf("%d sessions were ended where none are", n)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("logged %q", log.String())
	}
}
