package confine

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// allowedHere are the older forms of the same calls. Those of the x32 interface
// have other numbers, and so are denied.
var allowedHere = []int{unix.SYS_PIPE, unix.SYS_DUP2, unix.SYS_EPOLL_WAIT, unix.SYS_ARCH_PRCTL}
