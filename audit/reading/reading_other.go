//go:build !linux

package reading

import (
	"context"
	"errors"
	"log/slog"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// Options say where to listen, and what to do with what comes.
type Options struct {
	Journal  string
	Recorder audit.Recorder
	Log      *slog.Logger
}

// Server listens for readers, on Linux.
type Server struct{}

// Listen fails: the proxy serves on Linux only.
func Listen(Options) (*Server, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (s *Server) Close() error { return nil }

// Tell finds nobody: a journal is written on Linux only.
func Tell(context.Context, string, Notice) error { return ErrNobody }

// Alone fails: a journal is written on Linux only.
func Alone(context.Context, journal.Options, Notice) error { return errors.ErrUnsupported }
