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
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/peer"
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
	listener *peer.Listener
	limit    *limiter
	stop     chan struct{} // closed by Close

	work sync.WaitGroup
}

// Listen takes the socket over: where an older process listens, in an upgrade,
// readers come here from now on. Close ends it.
func Listen(o Options) (*Server, error) {
	s := &Server{o: o, limit: newLimiter(), stop: make(chan struct{})}
	var err error
	if s.listener, err = peer.Listen(o.Journal, socketName, place); err != nil {
		return nil, fmt.Errorf("listen for readers of the record: %w", err)
	}
	s.work.Go(s.accept)
	return s, nil
}

// place gives the socket to those who may read the directory.
func place(path string, dir os.FileInfo) error {
	if owner, ok := dir.Sys().(*syscall.Stat_t); ok && dir.Mode().Perm()&0o050 != 0 {
		_ = os.Chown(path, -1, int(owner.Gid)) // where this process is not of that group, its readers cannot tell
	}
	return os.Chmod(path, 0o660)
}

// Close stops listening, and waits for those who are there.
func (s *Server) Close() error {
	close(s.stop)
	err := s.listener.Close()
	s.work.Wait()
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
	uid, err := peer.UID(c)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		s.o.Log.Warn("a reader of the record cannot be known", "error", err)
		_ = c.Close()
		return
	}
	if !s.limit.enter(uid, time.Now()) {
		_, _ = io.WriteString(c, answerBusy+"\n")
		_ = c.Close()
		return
	}
	s.work.Go(func() {
		defer s.limit.leave(uid)
		defer c.Close() //nolint:errcheck // it has its answer
		_, _ = io.WriteString(c, s.answer(c)+"\n")
	})
}

func (s *Server) answer(c *net.UnixConn) string {
	by, err := peer.Of(c)
	if err != nil {
		s.o.Log.Warn("a reader of the record cannot be known", "error", err)
		return answerFail
	}
	line, err := bufio.NewReaderSize(io.LimitReader(c, maxNotice), maxNotice).ReadSlice('\n')
	var n Notice
	if err == nil {
		err = json.Unmarshal(line, &n)
	}
	if err != nil {
		s.o.Log.Warn("a reader of the record said nothing that can be read", "uid", by.UID)
		return answerFail
	}
	r, err := s.o.Recorder.Record(n.event(readerOf(by), causeServed))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = s.o.Recorder.Wait(ctx, r)
	}
	if err != nil {
		s.o.Log.Error("record a reading", "uid", by.UID, "error", err)
		return answerFail
	}
	return answerOK + " " + strconv.FormatUint(r.Sequence, 10)
}
