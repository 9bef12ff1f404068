package ration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is how much memory this process can have at most, in bytes: what its control
// groups allow, and what there is; 0 where that cannot be told.
func Machine() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	least := int64(info.Totalram) * int64(info.Unit)
	for _, file := range groupFiles() {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	return least
}

// groupFiles are those of the limits of the process's control groups: cgroups(7).
func groupFiles() (files []string) {
	const v2, v1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
	files = append(files, filepath.Join(v2, "memory.max"), filepath.Join(v1, "memory.limit_in_bytes"))
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(data)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ok && group != "/" && group != "." {
			files = append(files, filepath.Join(v2, group, "memory.max"))
			group = filepath.Dir(group)
		}
	}
	return files
}
