package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// longest is how long the folder's path may be, so that the paths of Unix sockets
// below it fit.
const longest = 60

// place returns where the demo lives: in dir, or, where that is too deep for a
// Unix socket or closed to the user that PostgreSQL runs as, in a folder of its
// own that dir then is a link to.
func place(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if target, err := os.Readlink(path); err == nil {
		return target, nil
	}
	if len(path) <= longest && open(filepath.Dir(path)) {
		return path, nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(path))
	elsewhere := filepath.Join(os.TempDir(), fmt.Sprintf("pgcustos-demo-%d-%08x", os.Getuid(), h.Sum32()))
	if err := os.MkdirAll(elsewhere, 0o711); err != nil {
		return "", err
	}
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	return elsewhere, os.Symlink(elsewhere, path)
}

// open tells whether other users may pass through a folder and all above it; it
// matters to root only, who runs PostgreSQL as somebody else.
func open(dir string) bool {
	if os.Getuid() != 0 {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

const stateFile = "running.json"

// remember writes down what is left running.
func remember(dir string, pids []int) error {
	b, err := json.Marshal(pids)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stateFile), b, 0o600)
}

// stopRunning ends what an earlier start left running; nothing running is fine.
func stopRunning(dir string) error {
	if target, err := os.Readlink(dir); err == nil {
		dir = target
	}
	path := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var pids []int
	if err := json.Unmarshal(b, &pids); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, pid := range pids {
		if err := end(pid); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// programs are what a process must be to be ended: its number may be somebody
// else's by now.
var programs = []string{"pgcustos", "postgres", "samba"}

func end(pid int) error {
	if !ours(pid) {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ours(pid) {
		select {
		case <-tick.C:
		case <-deadline:
			return syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
	return nil
}

func ours(pid int) bool {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil || strings.Contains(string(stat), ") Z ") {
		return false
	}
	for _, p := range programs {
		if strings.HasPrefix(string(name), p) {
			return true
		}
	}
	return false
}
