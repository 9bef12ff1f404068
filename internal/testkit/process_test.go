package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServersEndWithTheirProgram kills a program that has started servers.
func TestServersEndWithTheirProgram(t *testing.T) {
	dir, err := os.MkdirTemp(shortTemp(), "pgck")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // the user postgres has to get in
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var controller, postgres int
	_, scanned := fmt.Fscan(out, &controller, &postgres)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if scanned != nil {
		t.Fatal(scanned)
	}
	err = WaitFor(timeout(t, 10*time.Second), func() error {
		for _, pid := range []int{controller, postgres} {
			if runs(pid) {
				return fmt.Errorf("process %d runs", pid)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPrepareDirLeavesOthersAlone(t *testing.T) {
	dir := filepath.Join(shortTemp(), fmt.Sprintf("pgct-%d", os.Getpid()))
	defer os.RemoveAll(dir)
	for range 2 { // the second finds the first one's marker
		if _, _, err := prepareDir(dir, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "left"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, marker)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := prepareDir(dir, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory of somebody else's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "left")); err != nil {
		t.Error(err)
	}
	if _, _, err := prepareDir("/"+strings.Repeat("x", longestDir), ""); err == nil {
		t.Error("a path that is too long was taken")
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	t.Setenv("PATH", "/nonexistent")
	t.Setenv("PGBIN", "/nonexistent")
	if _, err := StartController(t.Context(), "", Options{}); err == nil || !strings.Contains(err.Error(), "package samba") {
		t.Errorf("got %v", err)
	}
	if _, err := StartPostgres(t.Context(), "", PostgresOptions{}); err == nil || !strings.Contains(err.Error(), "package postgresql-15") {
		t.Errorf("got %v", err)
	}
}
