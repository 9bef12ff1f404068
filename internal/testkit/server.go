package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// Server is a program that runs beside the site: another proxy, say.
type Server struct{ process *process }

// StartServer starts cmd, which logs to a file, and waits until it listens on
// address. It dies with the program that started it.
func StartServer(ctx context.Context, name, log, address string, cmd *exec.Cmd) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := startProcess(name, log, cmd, false)
	if err != nil {
		return nil, err
	}
	err = WaitFor(ctx, func() error {
		if err := p.alive(); err != nil {
			return err
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not listen on %s: %w\n%s", name, address, err, p.logTail()), p.kill())
	}
	return &Server{process: p}, nil
}

// PID returns the process id.
func (s *Server) PID() int { return s.process.pid }

// LogTail returns the end of the log.
func (s *Server) LogTail() string { return s.process.logTail() }

// Stop ends the server with SIGTERM, and with SIGKILL where it does not heed that.
func (s *Server) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.process.stop(ctx, syscall.SIGTERM)
}

// Children returns the processes that a process has started.
func Children(parent int) ([]int, error) { return childrenOf(parent) }
