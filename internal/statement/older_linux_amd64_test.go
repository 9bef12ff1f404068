package statement_test

import "golang.org/x/sys/unix"

// older are the older forms of the same calls, and two that the kernel lets pass every
// filter because they are of its own trampolines: from elsewhere they end the caller
// (uretprobe and uprobe, seccomp_uprobe_exception in kernel/seccomp.c).
var older = []int{unix.SYS_PIPE, unix.SYS_DUP2, unix.SYS_EPOLL_WAIT, unix.SYS_ARCH_PRCTL, 335, 336}
