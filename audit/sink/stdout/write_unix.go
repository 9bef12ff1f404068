//go:build unix

package stdout

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// atOnce is what a pipe takes without blocking once poll says that it is ready
	// (PIPE_BUF, pipe(7)).
	atOnce = 4096
	// pollFor is how long ctx may go unheeded, in ms.
	pollFor = 100
)

// write writes b and returns how much of it. The standard output is in blocking
// mode, and shared with others whom another mode would surprise: so it asks before
// each write whether there is room. It calls the system itself, because os.File
// ends the program when the reader of its standard output has gone.
func write(ctx context.Context, out *os.File, b []byte) (int, error) {
	fd, n := int(out.Fd()), 0
	for n < len(b) {
		if err := ctx.Err(); err != nil {
			return n, fmt.Errorf("the reader of %s does not read: %w", out.Name(), err)
		}
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		switch got, err := unix.Poll(ready, pollFor); {
		case errors.Is(err, unix.EINTR), err == nil && got == 0:
			continue
		case err != nil:
			return n, err
		}
		wrote, err := unix.Write(fd, b[n:min(n+atOnce, len(b))])
		n += max(0, wrote)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return n, fmt.Errorf("write to %s: %w", out.Name(), err)
		}
	}
	return n, nil
}
