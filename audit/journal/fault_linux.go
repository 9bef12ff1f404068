package journal

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/pgcustos/pgcustos/audit"
)

// fault is what SetPanicOnFault makes of a SIGBUS or SIGSEGV at an address.
type fault interface {
	runtime.Error
	Addr() uintptr
}

// faultError turns a recovered panic into an error where it is a fault of the
// mapping: an I/O error, or a file that was cut. It panics again otherwise.
func faultError(p any) error {
	f, ok := p.(fault)
	if !ok {
		panic(p)
	}
	return fmt.Errorf("%w: the mapping failed: %w", audit.ErrBroken, f)
}

// guard runs what touches a mapping.
func guard(do func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = faultError(p)
		}
	}()
	do()
	return nil
}
