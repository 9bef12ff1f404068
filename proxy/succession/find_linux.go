package succession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/internal/peer"
)

// Find asks the process that serves with this directory for its sockets. They are the
// caller's to close. ErrNobody: there is none.
func Find(ctx context.Context, dir string, log *slog.Logger) (*Predecessor, error) {
	c, err := peer.Dial(ctx, dir, socketName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNobody
	}
	if err != nil {
		return nil, err
	}
	p := &Predecessor{conn: c, log: log, gone: make(chan struct{}), waiting: make(map[uint64]chan *answer)}
	if err := p.greet(ctx); err != nil {
		p.closeSockets()
		_ = c.Close()
		return nil, fmt.Errorf("take over from the process that serves: %w", err)
	}
	if fd, err := unix.PidfdOpen(p.PID, 0); err == nil { // it has just answered
		p.end = os.NewFile(uintptr(fd), "predecessor")
	}
	go p.read()
	return p, nil
}

func (p *Predecessor) closeSockets() {
	for _, s := range p.Sockets {
		if s.File != nil {
			_ = s.File.Close()
		}
	}
}

// greet gets the sockets.
func (p *Predecessor) greet(ctx context.Context) error {
	uid, err := peer.UID(p.conn)
	if err != nil {
		return err
	}
	if uid != uint32(os.Geteuid()) {
		return fmt.Errorf("it is user %d's, not %d's", uid, os.Geteuid())
	}
	deadline := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok {
		deadline = d
	}
	if err := p.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := json.NewEncoder(p.conn).Encode(&request{Do: doSockets, PID: os.Getpid()}); err != nil {
		return err
	}
	files, err := p.receive()
	defer func() {
		for _, f := range files {
			_ = f.Close() // those that have no name
		}
	}()
	if err != nil {
		return err
	}
	var a answer
	// The decoder may read ahead of nothing: nothing else was asked for.
	if err := json.NewDecoder(p.conn).Decode(&a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	if len(a.Sockets) != len(files) {
		return fmt.Errorf("%d sockets came, and %d names", len(files), len(a.Sockets))
	}
	p.Estate = Estate{PID: a.PID, Digest: a.Digest, Sockets: a.Sockets}
	for i := range p.Sockets {
		p.Sockets[i].File = files[i]
	}
	files = nil
	return p.conn.SetDeadline(time.Time{})
}

// receive takes the byte that carries the descriptors.
func (p *Predecessor) receive() (files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(4*mostSockets))
	n, oobn, flags, _, err := p.conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // of another kind
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "inherited socket"))
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return files, errors.New("more descriptors came than were expected")
	}
	return files, nil
}

// killedWithin is longer than a process takes to end whose connections are closed.
const killedWithin = 5 * time.Second

// hasEnded waits for the end of a process whose connection has ended.
func hasEnded(process *os.File) (ended bool) {
	raw, err := process.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for end := time.Now().Add(killedWithin); ; {
			n, err := unix.Poll(poll, int(max(0, time.Until(end)).Milliseconds()))
			if !errors.Is(err, unix.EINTR) {
				ended = n > 0 && err == nil
				return
			}
		}
	}) == nil && ended
}
