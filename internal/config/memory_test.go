package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMemory(t *testing.T) {
	dir := folder(t)
	alone := mustLoad(t, dir, example(t))
	if alone.MemoryLimit < leastMemory {
		t.Errorf("by itself the limit is %d", alone.MemoryLimit)
	}
	c := mustLoad(t, dir, example(t)+"\nmemory: {limit: 2GiB}\n")
	if c.MemoryLimit != 2<<30 {
		t.Errorf("the limit is %d", c.MemoryLimit)
	}
	if d := Diff(c, mustLoad(t, dir, example(t)+"\nmemory: {limit: 3GiB}\n")); d != "memory: limit: 2GiB becomes 3GiB" {
		t.Errorf("the difference is %q", d)
	}
	file := filepath.Join(dir, "pgcustos.yaml")
	write(t, file, example(t)+"\nmemory: {limit: 64MiB}\n", 0o644)
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "memory.limit") {
		t.Errorf("64 MiB: %v", err)
	}
}
