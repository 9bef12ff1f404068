//go:build !linux

package control

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/proxy"
	"github.com/pgcustos/pgcustos/proxy/services"
)

// Target is what is controlled.
type Target interface {
	Live(*auth.Selector) []proxy.Status
	Kill(chosen *auth.Selector, detail string, since time.Time) int
	SetLocks(locks []auth.Lock, since time.Time) int
}

// Options say where to listen, for whom, and what to control.
type Options struct {
	Directory, Group string
	Target           Target
	Find             func(ctx context.Context, name string) (auth.Identity, error)
	Named            func(name string) error
	Services         func() []services.Status
	Recorder         audit.Recorder
	Log              *slog.Logger
}

// Server listens for operators, on Linux.
type Server struct{}

// Listen fails: the proxy serves on Linux only.
func Listen(Options) (*Server, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (s *Server) Close() error { return nil }

// Ask fails: the proxy serves on Linux only.
func Ask(context.Context, string, Request) (*Answer, error) { return nil, errors.ErrUnsupported }
