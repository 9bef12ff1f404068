package reading

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgcustos/pgcustos/audit"
)

// socketName is the socket's in the journal's directory, whose mode says who may
// come as far as here.
const socketName = "read.sock"

// Options say where to listen, and what to do with what comes.
type Options struct {
	Journal  string // the journal's directory
	Recorder audit.Recorder
	Log      *slog.Logger
}

// Server listens for readers.
type Server struct {
	// Static.
	o        Options
	listener *net.UnixListener
	inode    uint64 // of the socket
	limit    *limiter
	stop     chan struct{} // closed by Close

	work sync.WaitGroup
}

// Listen takes the socket over: where an older process listens, in an upgrade,
// readers come here from now on. Close ends it.
func Listen(o Options) (*Server, error) {
	s := &Server{o: o, limit: newLimiter(), stop: make(chan struct{})}
	if err := s.bind(); err != nil {
		return nil, fmt.Errorf("listen for readers of the record: %w", err)
	}
	s.work.Go(s.accept)
	return s, nil
}

// bind makes the socket under another name and moves it into place: nobody sees
// one with the wrong mode, or none.
func (s *Server) bind() error {
	dir, err := os.Open(s.o.Journal)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // it was only named
	draft := fmt.Sprintf("%s.%d.tmp", socketName, os.Getpid())
	path := filepath.Join(s.o.Journal, draft)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: within(dir, draft)}); err != nil {
		return err
	}
	s.listener.SetUnlinkOnClose(false)
	info, err := dir.Stat()
	if err == nil {
		err = s.place(path, info)
	}
	if err != nil {
		return errors.Join(err, s.listener.Close(), os.Remove(path))
	}
	return nil
}

// place gives the socket to those who may read the directory.
func (s *Server) place(path string, dir os.FileInfo) error {
	if owner, ok := dir.Sys().(*syscall.Stat_t); ok && dir.Mode().Perm()&0o050 != 0 {
		_ = os.Chown(path, -1, int(owner.Gid)) // where this process is not of that group, its readers cannot tell
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = stat.Ino
	}
	return os.Rename(path, filepath.Join(s.o.Journal, socketName))
}

// within names a file of an open directory in few bytes: a socket's path has 107
// at most (unix(7)).
func within(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// Close stops listening, and waits for those who are there.
func (s *Server) Close() error {
	close(s.stop)
	err := s.listener.Close()
	s.work.Wait()
	path := filepath.Join(s.o.Journal, socketName)
	if info, statErr := os.Lstat(path); statErr == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Ino == s.inode {
			err = errors.Join(err, os.Remove(path)) // it is not a younger process's
		}
	}
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			s.welcome(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.o.Log.Warn("accept a reader of the record", "error", err)
			select { // out of descriptors, say
			case <-s.stop:
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// patience is for how long a reader may take.
const patience = 3 * time.Second

// The answers; ok has the record's sequence number behind it.
const (
	answerOK   = "ok"
	answerBusy = "busy"
	answerFail = "failed"
)

// welcome asks the kernel who it is, and lets one in who has not been here too
// often.
func (s *Server) welcome(c *net.UnixConn) {
	peer, err := credentials(c)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		s.o.Log.Warn("a reader of the record cannot be known", "error", err)
		_ = c.Close()
		return
	}
	if !s.limit.enter(peer.Uid, time.Now()) {
		_, _ = io.WriteString(c, answerBusy+"\n")
		_ = c.Close()
		return
	}
	s.work.Go(func() {
		defer s.limit.leave(peer.Uid)
		defer c.Close() //nolint:errcheck // it has its answer
		_, _ = io.WriteString(c, s.answer(c, peer)+"\n")
	})
}

func (s *Server) answer(c *net.UnixConn, peer *unix.Ucred) string {
	// While the peer waits for its answer, its process is its own.
	by := readerOf(peer.Uid, uint32(max(0, peer.Pid)))
	line, err := bufio.NewReaderSize(io.LimitReader(c, maxNotice), maxNotice).ReadSlice('\n')
	var n Notice
	if err == nil {
		err = json.Unmarshal(line, &n)
	}
	if err != nil {
		s.o.Log.Warn("a reader of the record said nothing that can be read", "uid", peer.Uid)
		return answerFail
	}
	r, err := s.o.Recorder.Record(n.event(by, causeServed))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = s.o.Recorder.Wait(ctx, r)
	}
	if err != nil {
		s.o.Log.Error("record a reading", "uid", peer.Uid, "error", err)
		return answerFail
	}
	return answerOK + " " + strconv.FormatUint(r.Sequence, 10)
}

func credentials(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return peer, errors.Join(controlErr, err)
}
