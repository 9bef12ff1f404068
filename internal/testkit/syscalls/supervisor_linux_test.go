package syscalls

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Launch()
	os.Exit(m.Run())
}

// TestFailsTheNth has dd write blocks, one of which, or one and those after it, fails.
func TestFailsTheNth(t *testing.T) {
	s, err := New(unix.SYS_WRITE, unix.SYS_OPENAT, unix.SYS_EXECVE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	dd := func(script string, f Fault) (size int64, seen, hits int, said string) {
		t.Helper()
		file := filepath.Join(dir, "out")
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, file)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
		s.Arm(f)
		if err := s.Start(cmd); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = append(out, err.Error()...)
		}
		seen, hits = s.Disarm()
		if info, err := os.Stat(file); err == nil {
			size = info.Size()
		}
		_ = os.Remove(file)
		return size, seen, hits, string(out)
	}
	const five = "exec dd if=/dev/zero of=$0 bs=10 count=5"
	for _, c := range []struct {
		script     string
		fault      Fault
		size       int64
		seen, hits int
		says       string
	}{
		{five, Fault{Call: unix.SYS_WRITE, On: dir, At: 9, Errno: unix.EIO}, 50, 5, 0, "50 bytes"},
		{five, Fault{Call: unix.SYS_WRITE, On: dir, At: 3, Errno: unix.ENOSPC}, 30, 4, 1, "No space left on device"},
		{five, Fault{Call: unix.SYS_WRITE, On: "/elsewhere", Errno: unix.ENOSPC}, 50, 0, 0, "50 bytes"},
		{five, Fault{Call: unix.SYS_WRITE, On: dir, At: 2}, 20, 3, 1, "killed"},
		{five, Fault{Call: unix.SYS_WRITE, On: dir, Child: true}, 50, 0, 0, "50 bytes"},
		{"dd if=/dev/zero of=$0 bs=10 count=5; true", Fault{Call: unix.SYS_WRITE, On: dir, Child: true, At: 1, Errno: unix.EIO}, 10, 2, 1, "Input/output error"},
		{"echo 1 >$0; echo 2 >>$0; echo 3 >>$0; echo 4 >>$0", Fault{Call: unix.SYS_WRITE, On: dir, At: 2, Lasts: true, Errno: unix.ENOSPC}, 4, 4, 2, "I/O error"},
		{"echo 1 >$0; echo 2 >>$0", Fault{Call: unix.SYS_OPENAT, On: dir, At: 1, Errno: unix.EMFILE}, 2, 2, 1, "Too many open files"},
	} {
		size, seen, hits, said := dd(c.script, c.fault)
		if size != c.size || seen != c.seen || hits != c.hits || !strings.Contains(said, c.says) {
			t.Errorf("%s of %s: %d bytes, %d calls, %d of them failed: %s", c.fault, c.script, size, seen, hits, said)
		}
	}
}

// TestHold has dd wait before it writes.
func TestHold(t *testing.T) {
	s, err := New(unix.SYS_WRITE)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	cmd := exec.CommandContext(t.Context(), "/bin/dd", "if=/dev/zero", "of="+file, "bs=10", "count=5")
	h := s.Hold(Fault{Call: unix.SYS_WRITE, On: dir})
	defer h.Release()
	if err := s.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for h.Calls() == 0 {
		runtime.Gosched()
	}
	if info, err := os.Stat(file); err != nil || info.Size() != 0 {
		t.Errorf("it did not wait: %v, %v", info, err)
	}
	h.Release()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != 50 {
		t.Errorf("it did not go on: %v, %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
