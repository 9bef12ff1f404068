package testkit

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// runs reports whether a process is there and no zombie.
func runs(pid int) bool {
	state, _, found := processStat(pid)
	return found && state != "Z"
}

// childrenOf returns the processes that a process has started.
func childrenOf(parent int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, ppid, found := processStat(pid); found && ppid == parent {
			children = append(children, pid)
		}
	}
	return children, nil
}

// processStat reads the state and the parent from /proc/PID/stat (proc(5)): the
// fields behind the name, which stands in parentheses and may hold anything.
func processStat(pid int) (state string, ppid int, found bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	stat := string(b)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return "", 0, false
	}
	ppid, err = strconv.Atoi(fields[1])
	return fields[0], ppid, err == nil
}
