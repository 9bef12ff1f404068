package reading

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/peer"
)

// Tell puts a reading on record by telling the process that writes the journal.
// ErrNobody: there is none.
func Tell(ctx context.Context, dir string, n Notice) error {
	if _, err := os.Stat(dir); err != nil {
		return err // a directory that is missing is not one that nobody serves
	}
	n.Command, n.Filter, n.Signing = clean(n.Command, maxCommand), clean(n.Filter, maxFilter), clean(n.Signing, maxFilter)
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	for {
		answer, err := ask(ctx, dir, append(line, '\n'))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return ErrNobody
		case err != nil:
			return fmt.Errorf("tell the proxy: %w", err)
		case answer == answerBusy:
			if err := pause(ctx); err != nil {
				return fmt.Errorf("too many readings at once: %w", err)
			}
		case strings.HasPrefix(answer, answerOK+" "):
			return nil
		default:
			return errors.New("the proxy could not record it: its log says why")
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func ask(ctx context.Context, dir string, line []byte) (string, error) {
	c, err := peer.Dial(ctx, dir, socketName)
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // the answer is what counts
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	// One that is refused at once may be answered before it has written.
	_, writeErr := c.Write(line)
	answer, err := bufio.NewReader(io.LimitReader(c, 64)).ReadString('\n')
	if err != nil {
		return "", errors.Join(err, writeErr)
	}
	return strings.TrimSuffix(answer, "\n"), nil
}

// aloneSegment is enough for a stream of a few records.
const aloneSegment = 64 << 10

// Alone puts a reading on record in a stream of its own, signed where o has a
// Signer. Only the user that the journal belongs to does so: a stream of somebody
// else's would keep the proxy from starting. What earlier processes left is not
// touched: where one died, journal.ErrUnfinished is the error.
func Alone(ctx context.Context, o journal.Options, n Notice) error {
	info, err := os.Stat(o.Path)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return errors.New("the journal belongs to another user")
	}
	o.SegmentSize, o.Reserve, o.LeaveOthers = aloneSegment, 0, true
	o.Compress, o.Archive, o.Retention, o.Recipients = false, nil, journal.Retention{}, journal.Recipients{}
	j, err := journal.Open(o)
	if err != nil {
		return err
	}
	r, err := j.Record(n.event(readerOf(peer.Self()), causeAlone))
	if err == nil {
		err = j.Wait(ctx, r)
	}
	return errors.Join(err, j.Close())
}
