package testkit

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
)

// BuildProxy builds the proxy into dir, with the race detector where the
// program that calls it was built with it, and returns the path.
func BuildProxy(ctx context.Context, dir string) (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("the module's directory is not known")
	}
	out := filepath.Join(dir, "pgcustos")
	args := []string{"build", "-o", out}
	if RaceDetector() {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/pgcustos")...)
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if message, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, message)
	}
	return out, nil
}

// RaceDetector tells whether this program, and with it the proxy that it builds, has the
// race detector in it.
func RaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
