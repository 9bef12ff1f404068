package confine

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// allowedHere are the older forms of the same calls, of which there are none.
var allowedHere []int
