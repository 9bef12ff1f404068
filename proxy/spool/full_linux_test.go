package spool

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that is full says so, and what was taken is given back.
func TestFullDisk(t *testing.T) {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		_ = os.Remove(dir)
		t.Fatalf("this test mounts a small tmpfs, which needs root (CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		_ = os.Remove(dir)
	})
	s := store(t, Options{Directory: dir})
	f := file(t, s, "p")
	if _, err := f.Write(content(2 << 20)); !errors.Is(err, unix.ENOSPC) || !errors.Is(err, ErrSpool) {
		t.Errorf("%v", err)
	}
	if err := f.Close(); err != nil || s.Used() != 0 {
		t.Errorf("%v, %d bytes are still taken", err, s.Used())
	}
	again := file(t, s, "p")
	if _, err := again.Write(content(500 << 10)); err != nil {
		t.Errorf("when there was room again: %v", err)
	}
}
