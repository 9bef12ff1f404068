package reading

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder keeps what it is given.
type recorder struct {
	audit.Recorder // the rest of it, which nobody asks for
	mu             sync.Mutex
	got            []audit.Event
	fail           error
}

func (r *recorder) Record(e *audit.Event) (audit.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return audit.Receipt{}, r.fail
	}
	r.got = append(r.got, *e)
	return audit.Receipt{Sequence: uint64(len(r.got))}, nil
}

func (r *recorder) Wait(context.Context, audit.Receipt) error { return nil }

func (r *recorder) events() []audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]audit.Event(nil), r.got...)
}

// listen starts a server in a directory whose path is too long for a socket's.
func listen(t *testing.T, dir string) (*recorder, *Server) {
	t.Helper()
	r := &recorder{}
	s, err := Listen(Options{Journal: dir, Recorder: r, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func longDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func tell(t *testing.T, dir string, n Notice) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Tell(ctx, dir, n)
}

func closed(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestTold(t *testing.T) {
	dir := longDir(t)
	if err := tell(t, dir, Notice{}); !errors.Is(err, ErrNobody) {
		t.Errorf("before anybody listens: %v", err)
	}
	r, s := listen(t, dir)
	if info, err := os.Stat(filepath.Join(dir, socketName)); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := tell(t, dir, Notice{Command: "audit query", Filter: "--principal=alice"}); err != nil {
		t.Fatal(err)
	}
	got := r.events()
	if len(got) != 1 || got[0].Type != audit.Reading || got[0].Command != "audit query" || got[0].Filter != "--principal=alice" || got[0].Cause != causeServed {
		t.Fatalf("%+v", got)
	}
	if by := got[0].Reader; by.UID != uint32(os.Getuid()) || by.PID != uint32(os.Getpid()) || by.User != peer.Self().User {
		t.Errorf("%+v", by)
	}
	r.mu.Lock()
	r.fail = audit.ErrFull
	r.mu.Unlock()
	if err := tell(t, dir, Notice{}); err == nil || errors.Is(err, ErrNobody) {
		t.Errorf("a journal that is full: %v", err)
	}
	closed(t, s)
	if err := tell(t, dir, Notice{}); !errors.Is(err, ErrNobody) {
		t.Errorf("when nobody listens any more: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestTakenOver: in an upgrade the younger process is told, and the older one does
// not take its socket away.
// A command's signature is a certificate on record, with who made it.
func TestSigning(t *testing.T) {
	dir := longDir(t)
	r, s := listen(t, dir)
	if err := tell(t, dir, Notice{Command: "check", Signing: "certificate 7 for \x1b[2J%check"}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	all := r.events()
	if len(all) != 1 || all[0].Type != audit.Issued || all[0].Detail != "certificate 7 for \uFFFD[2J%check" || all[0].Reader == nil || all[0].Reader.UID != uint32(os.Getuid()) {
		t.Errorf("%+v", all)
	}
}

func TestTakenOver(t *testing.T) {
	dir := longDir(t)
	older, first := listen(t, dir)
	younger, second := listen(t, dir)
	closed(t, first)
	if err := tell(t, dir, Notice{Command: "audit cat"}); err != nil {
		t.Fatal(err)
	}
	closed(t, second)
	if len(older.events()) != 0 || len(younger.events()) != 1 {
		t.Errorf("%d and %d", len(older.events()), len(younger.events()))
	}
}

// TestHostile sends what no command of ours sends.
func TestHostile(t *testing.T) {
	dir := longDir(t)
	r, s := listen(t, dir)
	defer closed(t, s)
	hostile := "\x1b[2J\u202e\n" + strings.Repeat("x", 10*maxFilter) + "\xff"
	if err := tell(t, dir, Notice{Command: hostile, Filter: hostile}); err != nil {
		t.Fatal(err)
	}
	e := r.events()[0]
	if len(e.Command) > maxCommand || len(e.Filter) > maxFilter || strings.ContainsAny(e.Filter, "\x1b\u202e\n") {
		t.Errorf("%q: %.80q", e.Command, e.Filter)
	}
	for _, sent := range []string{"", "\n", "{", "null", "[]\n", `{"command":7}` + "\n", strings.Repeat("y", 2*maxNotice)} {
		if answer := send(t, dir, sent); answer != answerFail && answer != answerBusy {
			t.Errorf("%.20q is answered %q", sent, answer)
		}
	}
	if n := len(r.events()); n != 1 {
		t.Errorf("%d records", n)
	}
}

// send writes bytes, ends that direction, and returns the answer.
func send(t *testing.T, dir, text string) string {
	t.Helper()
	c, err := peer.Dial(t.Context(), dir, socketName)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()                //nolint:errcheck // the answer is what counts
	_, _ = io.WriteString(c, text) // one who says too much is not read to the end
	_ = c.CloseWrite()
	answer, _ := io.ReadAll(c)
	return strings.TrimSpace(string(answer))
}

// TestFlood: who comes too often is sent away, and what is recorded is bounded.
func TestFlood(t *testing.T) {
	l := newLimiter()
	now := time.Now()
	admitted := 0
	for range 1000 {
		if l.enter(1, now) {
			l.leave(1)
			admitted++
		}
	}
	if admitted != burst {
		t.Errorf("%d at once", admitted)
	}
	first, second, third := l.enter(2, now), l.enter(2, now), l.enter(2, now)
	if !first || !second || third {
		t.Error("the bound on connections of one user does not hold")
	}
	if !l.enter(1, now.Add(time.Second)) {
		t.Error("a second later there is no room")
	}
	for uid := range uint32(10 * maxUsers) {
		if l.enter(100+uid, now) {
			l.leave(100 + uid)
		}
	}
	if len(l.users) > maxUsers {
		t.Errorf("%d users are kept", len(l.users))
	}
	if !l.enter(7, now.Add(time.Hour)) {
		t.Error("an hour later there is no room")
	}
}

// TestSilent: who says nothing holds nobody up, and is let go.
func TestSilent(t *testing.T) {
	dir := longDir(t)
	r, s := listen(t, dir)
	c, err := peer.Dial(t.Context(), dir, socketName)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it says nothing
	if err := tell(t, dir, Notice{Command: "audit tail"}); err != nil {
		t.Error(err)
	}
	closed(t, s) // waits until the silent one has used up its time
	if len(r.events()) != 1 {
		t.Errorf("%d records", len(r.events()))
	}
}

func TestAlone(t *testing.T) {
	dir := t.TempDir()
	o := journal.Options{Path: dir, Node: "proxy-1"}
	if err := Alone(t.Context(), o, Notice{Command: "audit report", Filter: "--since=7d"}); err != nil {
		t.Fatal(err)
	}
	v, err := journal.Verify(t.Context(), journal.VerifyOptions{Path: dir})
	if err != nil || len(v.Findings) != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	in, err := journal.OpenReader(journal.ReaderOptions{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for {
		rec, err := in.Next()
		if err != nil {
			t.Fatal(fmt.Errorf("no record of it: %w", err))
		}
		if rec.Type != audit.Reading {
			continue
		}
		if rec.Command != "audit report" || rec.Filter != "--since=7d" || rec.Cause != causeAlone || rec.Reader.UID != uint32(os.Getuid()) {
			t.Errorf("%+v", rec)
		}
		return
	}
}
