package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// TestStreamOfAnotherProcess has a process write a stream, and another take it: the
// second is refused, and told who the first is. When that one is gone the stream is
// looked after, and still nobody's to go on with. A stream of its own it has all along.
func TestStreamOfAnotherProcess(t *testing.T) {
	path := t.TempDir()
	child, stream := startWriter(t, path, "held")
	dir := filepath.Join(path, stream)
	err := (&Journal{id: identity{disk: thisMachine{}}}).occupy(dir)
	var held *HeldError
	if !errors.As(err, &held) || held.PID != child.Process.Pid || held.Name == "" {
		t.Fatalf("the child is %d: %v", child.Process.Pid, err)
	}
	if !errors.Is(err, unix.EWOULDBLOCK) || !errors.Is(err, audit.ErrBroken) {
		t.Errorf("%#v", err)
	}
	for _, want := range []string{stream, fmt.Sprintf("process %d (", child.Process.Pid), fmt.Sprintf("kill -TERM %d", child.Process.Pid), "journal.path"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if err := open(t, Options{Path: path, Node: "crash", SegmentSize: 256 << 10}).Close(); err != nil {
		t.Errorf("a stream of its own, beside it: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if err := (&Journal{id: identity{disk: thisMachine{}}}).occupy(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("what a process left: %v", err)
	}
	mustVerify(t, path, func(o *VerifyOptions) { o.Keys = nil })
}

// startWriter starts a process that writes a stream, and returns the stream's name.
func startWriter(t *testing.T, path, round string) (*exec.Cmd, string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashPath+"="+path, crashRound+"="+round)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	stream, ok := strings.CutPrefix(strings.TrimSpace(line), "stream ")
	if err != nil || !ok {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return child, stream
}
